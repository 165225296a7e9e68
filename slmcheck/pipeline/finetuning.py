"""Recipe -> RunRecord: a recipe's run, trained at most once per content."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from slmcheck import recipes, training
from slmcheck.data import Splits
from slmcheck.data.checks import check_rows
from slmcheck.data.tokenizers import read_tokenizer
from slmcheck.errors import OfflineMissError
from slmcheck.pipeline.predicting import release_models
from slmcheck.recipes import BaseModel
from slmcheck.records import Checkpoint, DeviceClass, Environment, Finding, Json, Recipe, RunRecord, from_json, to_json
from slmcheck.storage import digest
from slmcheck.workspace import Workspace


def run_key(recipe: Recipe, splits: Splits, workspace: Workspace) -> tuple[str, Json]:
    """The key of a recipe's run and the inputs that it is a digest of."""
    inputs = recipes.run_inputs(
        recipe,
        splits,
        trainer_version=training.find_trainer(recipe.trainer).cache_version,
        training_version=training.CACHE_VERSION,
        file_digest=workspace.store.file_digest,
    )
    return recipes.run_key(inputs), inputs


def finetune(recipe: Recipe, splits: Splits, workspace: Workspace) -> RunRecord:
    """The run of a recipe: from the store, or trained now in a child process.

    Raises:
        RecipeError: If the recipe cannot be carried out.
        DataError: If rows cannot be used.
        OfflineMissError: If it would have to be trained and the session is offline.
        TrainingError: If the training ended without a result.
    """
    key, inputs = run_key(recipe, splits, workspace)
    environment = training.training_environment(recipe, workspace.device)
    again = workspace.retrain and key not in workspace.retrained
    found = None if again else _find(key, environment, workspace)
    if found is None:
        if workspace.offline:
            raise OfflineMissError(
                f"The store has no run of recipe '{recipe.name}', and this session is offline.\n"
                f"Key {key[:12]}, store {workspace.store.root}.\n"
                f"Train it where training is allowed and bring the store here: "
                f"slmcheck train {recipe.path or recipe.name}"
            )
        recipes.check(recipe)
        release_models()
        with workspace.store.work(key, environment) as work:
            found = None if again else _find(key, environment, workspace)
            if found is None:
                found = _train(recipe, splits, key, inputs, environment, work, workspace)
        workspace.retrained.add(key)
    return replace(found, name=recipe.name, recipe=recipe, checkpoint=_on_this_machine(found.checkpoint, recipe))


def findings_of(key: str, workspace: Workspace) -> tuple[Finding, ...]:
    """What the checks of rows and of the model found before a run was trained."""
    stored = workspace.store.read_findings(digest("findings", key))
    return tuple(from_json(Finding, item) for item in stored) if isinstance(stored, Sequence) else ()


def _on_this_machine(checkpoint: Checkpoint, recipe: Recipe) -> Checkpoint:
    """An adapter with its base model where this machine has it; it may have been trained on another one."""
    recorded = checkpoint.base_model
    if checkpoint.kind != "adapter" or recorded is None or not recorded.startswith("/") or Path(recorded).is_dir():
        return checkpoint
    return replace(checkpoint, base_model=recipes.base_model_of(recipe).location)


def _find(key: str, environment: Environment, workspace: Workspace) -> RunRecord | None:
    return workspace.store.find_run(key, environment, same_environment=workspace.same_environment)


def _prepared_base(recipe: Recipe, base: BaseModel, device: DeviceClass, workspace: Workspace) -> Path | None:
    """The form of the base model that a trainer trains from, made once and kept; None where it takes it as it is."""
    wanted = training.preparation_of(recipe, device)
    if wanted is None:
        return None
    inputs: Json = {"base_model": base.identity, "preparation": wanted}
    key = digest("base", inputs)
    found = workspace.store.find_base(key)
    if found is not None:
        return found
    with workspace.store.lock(f"base-{key}"), workspace.store.scratch(f"base-{key}") as work:
        found = workspace.store.find_base(key)
        if found is not None:
            return found
        made = training.prepare_in_child(recipe, work, base_model=base.location, device=device)
        return workspace.store.publish_base(key, made, inputs)


def _train(
    recipe: Recipe,
    splits: Splits,
    key: str,
    inputs: Json,
    environment: Environment,
    work: Path,
    workspace: Workspace,
) -> RunRecord:
    base = recipes.base_model_of(recipe, file_digest=workspace.store.file_digest)
    trains = training.find_trainer(recipe.trainer).trains
    # Where nothing is learned no answer can be cut, and a judge without model libraries has no tokenizer.
    tokenizer = read_tokenizer(base.folder) if trains and base.folder is not None else None
    findings = check_rows(recipe, splits, tokenizer)
    progress = workspace.on_progress
    with workspace.store.slot(environment.device, environment.threads):
        prepared = _prepared_base(recipe, base, environment.device, workspace)
        result = training.train_in_child(
            recipe,
            splits.train,
            splits.validation,
            work,
            base_model=base.location,
            device=environment.device,
            prepared_base=prepared,
            on_progress=None if progress is None else lambda point: progress(recipe, point),
        )
    record = RunRecord(
        name=recipe.name,
        key=key,
        recipe=replace(recipe, path=None),
        checkpoint=result.checkpoint,
        environment=environment,
        directory=work / "publish",
        history=result.history,
        best_step=result.best_step,
        last_step=result.last_step,
        stopped_early=result.stopped_early,
        resources=result.resources,
        usage=result.usage,
        engine=result.engine,
        notes=result.notes,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    found = (*findings, *result.findings)
    # Its inputs name the run, so that findings travel with it.
    workspace.store.write_findings(digest("findings", key), [to_json(finding) for finding in found], {"run": key})
    if workspace.retrain:
        workspace.store.forget_run(key, environment)
    return workspace.store.publish_run(record, work / "publish", inputs)
