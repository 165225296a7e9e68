"""The straight line: Recipe -> RunRecord -> Predictions -> Score -> Verdict -> Report.

One function a stage. Each looks in the store first and works only on a miss, and none imports a model library before
it must.

    finetune   a recipe's run, trained at most once per content
    export     a run's checkpoint as an ONNX graph, made at most once per precision
    predict    what a checkpoint answers to examples, each row asked at most once
    measure    a metric of what it answered, with the per-example evidence
    compare    an export with the checkpoint it was made of

Judging is what a comparison of scores does (`slmcheck.gates`); reporting reads what the other stages left.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from slmcheck import inference, parity, recipes, training
from slmcheck.backends.environment import expected_environment, worker_threads
from slmcheck.data import Splits, row_digest
from slmcheck.data.checks import check_rows
from slmcheck.data.tokenizers import read_tokenizer
from slmcheck.errors import OfflineMissError, PredictionError
from slmcheck.gates import Evidence, Score, ScoreSource
from slmcheck.metrics import Metric, can_read, reference_hash, score_from
from slmcheck.metrics import measure as measure_predictions
from slmcheck.records import (
    Checkpoint,
    DeviceClass,
    Environment,
    Example,
    ExampleEvidence,
    Finding,
    Json,
    PredictedRow,
    Prediction,
    PredictionKind,
    Recipe,
    RunRecord,
    from_json,
    to_json,
)
from slmcheck.storage import StoredScore, digest
from slmcheck.workspace import Workspace

if TYPE_CHECKING:
    from slmcheck.backends import LanguageModel

_CLASSES = ("classification", "sequence_classification")


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
    environment = workspace.environment_for(recipe)
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
    if checkpoint.kind != "adapter":
        return checkpoint
    return replace(checkpoint, base_model=recipes.base_model_of(recipe).location)


def _find(key: str, environment: Environment, workspace: Workspace) -> RunRecord | None:
    return workspace.store.find_run(key, environment, same_environment=workspace.same_environment)


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
    tokenizer = read_tokenizer(base.folder) if base.folder is not None else None
    findings = check_rows(recipe, splits, tokenizer)
    progress = workspace.on_progress
    with workspace.store.slot(environment.device, environment.threads):
        result = training.train_in_child(
            recipe,
            splits.train,
            splits.validation,
            work,
            base_model=base.location,
            device=environment.device,
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
        engine=result.engine,
        notes=result.notes,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    found = (*findings, *result.findings)
    workspace.store.write_findings(digest("findings", key), [to_json(finding) for finding in found])
    if workspace.retrain:
        workspace.store.forget_run(key, environment)
    return workspace.store.publish_run(record, work / "publish", inputs)


def predict(
    checkpoint: Checkpoint, examples: Sequence[Example], kind: PredictionKind, recipe: Recipe, workspace: Workspace
) -> tuple[Prediction, ...]:
    """What a checkpoint answers to examples, in their order; only rows that the store lacks are asked.

    Raises:
        OfflineMissError: If rows would have to be predicted and the session is offline.
        PredictionError: If the model cannot be evaluated on them.
        CheckpointError: If its weights cannot be used.
    """
    if checkpoint.kind == "predictions":
        return _saved(checkpoint, examples)
    rows = _predicted_rows(checkpoint, examples, kind, recipe, workspace)
    return tuple(_join(example, rows[row_digest(example, kind, recipe)]) for example in examples)


def _predicted_rows(
    checkpoint: Checkpoint, examples: Sequence[Example], kind: PredictionKind, recipe: Recipe, workspace: Workspace
) -> Mapping[str, PredictedRow]:
    key, inputs = _prediction_set(checkpoint, kind, recipe, workspace)
    here = expected_environment(checkpoint, device=workspace.device, threads=worker_threads())
    stored = workspace.store.predictions(key, inputs)

    def missing(found: Mapping[str, PredictedRow]) -> list[Example]:
        return [example for example in examples if row_digest(example, kind, recipe) not in found]

    rows = stored.read(here, same_environment=workspace.same_environment)
    if not missing(rows):
        return rows
    if workspace.offline:
        raise OfflineMissError(
            f"The store lacks predictions for {len(missing(rows))} of {len(examples)} examples of '{recipe.name}', "
            f"and this session is offline.\nCheckpoint {checkpoint.key[:12]}, store {workspace.store.root}.\n"
            "Predict where models may be loaded (run the suite without --slm-offline) and bring the store here."
        )
    with workspace.store.lock(f"predictions-{key}"), workspace.store.slot(here.device, here.threads):
        asked = missing(stored.read(here, same_environment=workspace.same_environment))
        if asked:
            model = load_model(checkpoint, here.device, here.threads)
            with stored.writer(model.environment) as on_rows:
                inference.predict(model, asked, kind=kind, recipe=recipe, on_rows=on_rows)
    rows = stored.read(here, same_environment=workspace.same_environment)
    lost = missing(rows)
    if lost:
        raise PredictionError(
            f"The model gave no answer to {len(lost)} of {len(asked)} examples of '{recipe.name}', "
            f"{lost[0].source or lost[0].id} among them."
        )
    return rows


def prediction_key(checkpoint: Checkpoint, kind: PredictionKind, recipe: Recipe, workspace: Workspace) -> str:
    """The key under which the store keeps the answers of a checkpoint."""
    return _prediction_set(checkpoint, kind, recipe, workspace)[0]


def _prediction_set(
    checkpoint: Checkpoint, kind: PredictionKind, recipe: Recipe, workspace: Workspace
) -> tuple[str, Json]:
    inputs = recipes.prediction_inputs(
        recipe,
        checkpoint_key=checkpoint.key,
        kind=kind,
        backend="onnxruntime" if checkpoint.kind == "onnx" else "pytorch",
        precision=checkpoint.precision,
        batch_invariant=workspace.batch_invariant,
        inference_version=inference.CACHE_VERSION,
    )
    return recipes.prediction_key(inputs), inputs


def _join(example: Example, row: PredictedRow) -> Prediction:
    return Prediction(
        id=example.id,
        prediction=row.text,
        references=example.references,
        prompt=example.prompt,
        options=example.options,
        option_scores=row.option_scores,
        option_probabilities=row.option_probabilities,
        nll=row.nll,
        tokens=row.tokens,
        bytes=row.bytes,
        words=row.words,
        finished=row.finished,
        group=example.group,
        slices=example.slices,
        row=example.row,
    )


def _saved(checkpoint: Checkpoint, examples: Sequence[Example]) -> tuple[Prediction, ...]:
    """Saved predictions of the given examples, with today's references, slices and groups."""
    by_id = {found.id: found for found in inference.read_saved_predictions(checkpoint.path)}
    lacking = [example for example in examples if example.id not in by_id]
    if lacking:
        raise PredictionError(
            f"{checkpoint.path} has no prediction for {len(lacking)} of {len(examples)} examples.\n"
            f"First of them: id '{lacking[0].id}' ({lacking[0].source}).\n"
            "Ids are data.id of the recipe, else a digest of the input: slmcheck data check RECIPE --ids lists them."
        )
    return tuple(
        replace(
            by_id[example.id],
            references=example.references,
            prompt=example.prompt,
            options=example.options or by_id[example.id].options,
            group=example.group,
            slices=example.slices,
            row=example.row,
        )
        for example in examples
    )


@lru_cache(maxsize=2)
def load_model(checkpoint: Checkpoint, device: DeviceClass, threads: int) -> LanguageModel:
    """A checkpoint in memory; the last two stay there."""
    from slmcheck.backends import load

    return load(checkpoint, device=device, threads=threads)


def release_models() -> None:
    """Forget the models in memory, so that a training child finds the device free."""
    if load_model.cache_info().currsize:
        from slmcheck.backends import free_memory

        load_model.cache_clear()
        free_memory()


def measure(
    metric: Metric,
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    recipe: Recipe,
    source: ScoreSource,
    workspace: Workspace,
) -> Score:
    """A metric of what a checkpoint answers to examples: from the store, or measured now.

    Raises:
        UndefinedScoreError: If the metric has no value on these predictions.
    """
    kind = kind_for(metric, recipe)

    def predictions() -> tuple[Prediction, ...]:
        return predict(checkpoint, examples, kind, recipe, workspace)

    def show(example_id: str) -> ExampleEvidence:
        return evidence_of(next(found for found in predictions() if found.id == example_id))

    if not metric.cached:
        return measure_predictions(metric, predictions(), source, show)
    inputs = _score_inputs(metric, checkpoint, examples, kind, recipe, source, workspace)
    key = digest("score", inputs)
    stored = workspace.store.read_score(key)
    if stored is None or not can_read(metric, stored.columns):
        score = measure_predictions(metric, predictions(), source, show)
        if score.evidence is not None:
            workspace.store.write_score(key, _stored_form(score, checkpoint), inputs)
        return score
    return score_from(
        metric,
        ids=stored.ids,
        statistics=stored.statistics,
        columns=stored.columns,
        source=source,
        groups=stored.groups,
        reference_hashes=stored.reference_hashes,
        answers=stored.answers,
        show=show,
    )


def has_score(
    metric: Metric,
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    recipe: Recipe,
    source: ScoreSource,
    workspace: Workspace,
) -> bool:
    """Whether the store holds a score, so that `measure` would neither predict nor compute."""
    if not metric.cached:
        return False
    inputs = _score_inputs(metric, checkpoint, examples, kind_for(metric, recipe), recipe, source, workspace)
    stored = workspace.store.read_score(digest("score", inputs))
    return stored is not None and can_read(metric, stored.columns)


def kind_for(metric: Metric, recipe: Recipe) -> PredictionKind:
    """What a model must be asked for a metric under a recipe's task."""
    first: PredictionKind = "options" if recipe.task in _CLASSES else "generate"
    return first if first in metric.needs else "nll" if "nll" in metric.needs else next(iter(metric.needs))


def evidence_of(prediction: Prediction) -> ExampleEvidence:
    """A predicted example in full, for a reader."""
    return ExampleEvidence(
        id=prediction.id,
        prompt=prediction.prompt,
        reference=" | ".join(prediction.references),
        answer=prediction.prediction if prediction.prediction is not None else _likelihood(prediction),
    )


def _likelihood(prediction: Prediction) -> str:
    if prediction.nll is None or not prediction.tokens:
        return ""
    return f"{prediction.nll / prediction.tokens:.3f} nats a token over {prediction.tokens} tokens"


def _score_inputs(
    metric: Metric,
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    kind: PredictionKind,
    recipe: Recipe,
    source: ScoreSource,
    workspace: Workspace,
) -> Json:
    is_file = checkpoint.kind == "predictions"
    return {
        "predictions": checkpoint.key if is_file else _prediction_set(checkpoint, kind, recipe, workspace)[0],
        "rows": digest("rows", [row_digest(example, kind, recipe) for example in examples]),
        "ids": digest("ids", [example.id for example in examples]),
        "references": digest("references", [list(example.references) for example in examples]),
        "groups": digest("groups", [example.group for example in examples]),
        "source": _source_identity(source),
        "metric": {"name": metric.info.name, "signature": metric.info.signature, "version": metric.version},
    }


def _source_identity(source: ScoreSource) -> Json:
    """Whose score it is: baselines are accepted by that, so a slice that is the whole split shares no score with it."""
    return {"run": source.run_key, "split": source.split, "slice": source.slice}


def _stored_form(score: Score, checkpoint: Checkpoint) -> StoredScore:
    """A score as the store keeps it, with what accepting it as a baseline needs to know."""
    evidence, metric, interval = score.evidence, score.metric, score.interval
    assert evidence is not None
    return StoredScore(
        ids=evidence.example_ids,
        columns=evidence.columns,
        statistics=evidence.statistics,
        value=float(score),
        groups=evidence.groups,
        reference_hashes=evidence.reference_hashes,
        answers=evidence.answers,
        extras={
            "metric": metric.name,
            "unit": metric.unit,
            "higher_is_better": metric.higher_is_better,
            "signature": metric.signature,
            "split": score.source.split,
            "slice": score.source.slice,
            "variant": f"onnx:{checkpoint.precision}" if checkpoint.kind == "onnx" else "",
            "run_key": score.source.run_key,
            "checkpoint": checkpoint.key,
            "low": interval[0] if interval else None,
            "high": interval[1] if interval else None,
        },
    )


def export(record: RunRecord, precision: str, workspace: Workspace) -> Checkpoint:
    """A run's checkpoint as an ONNX graph: from the store, or exported now.

    Raises:
        OfflineMissError: If it would have to be exported and the session is offline.
        ExportError: If no usable graph came out.
    """
    from slmcheck import export as exporting

    inputs = exporting.export_inputs(record.checkpoint, precision)
    key = digest("export", inputs)
    found = workspace.store.find_export(key)
    if found is None:
        if workspace.offline:
            raise OfflineMissError(
                f"The store has no {precision} export of '{record.name}', and this session is offline.\n"
                f"Key {key[:12]}, store {workspace.store.root}.\n"
                "Export it where models may be loaded (run the suite without --slm-offline) and bring the store here."
            )
        with workspace.store.lock(f"export-{key}"), workspace.store.slot("cpu"):
            found = workspace.store.find_export(key)
            if found is None:
                with workspace.store.scratch(key) as folder:
                    exporting.to_onnx(record.checkpoint, folder, precision=precision)
                    found = workspace.store.publish_export(key, folder, inputs)
    return exporting.exported_checkpoint(found, key, precision)


def compare(
    name: str,
    record: RunRecord,
    exported: Checkpoint,
    examples: Sequence[Example],
    source: ScoreSource,
    workspace: Workspace,
) -> Score:
    """How far an exported graph agrees with the checkpoint it was made of: one of `slmcheck.parity.SCORES`.

    The scores of logits come of one pass over both models; the store keeps all of them.

    Raises:
        OfflineMissError: If a model would have to be asked and the session is offline.
        PredictionError: If the comparison could not be made.
    """
    recipe = record.recipe
    if name == "agreement":
        kind: PredictionKind = "options" if recipe.task in _CLASSES else "generate"
        own = predict(record.checkpoint, examples, kind, recipe, workspace)
        other = predict(exported, examples, kind, recipe, workspace)
        answers = {found.id: found.prediction or "" for found in own}

        def show(example_id: str) -> ExampleEvidence:
            found = evidence_of(next(one for one in other if one.id == example_id))
            return replace(found, old_answer=answers[example_id], note="old answer: PyTorch; new answer: ONNX")

        score = parity.agreement(own, other, source, show=show)
        _keep(score, _parity_key(name, record, exported, examples, source), exported, examples, workspace)
        return score
    key, _ = _parity_key(name, record, exported, examples, source)
    stored = workspace.store.read_score(key)
    if stored is None:
        if workspace.offline:
            raise OfflineMissError(
                f"The store has no comparison of the {exported.precision} export of '{record.name}' with PyTorch, and "
                "this session is offline.\nCompare where models may be loaded (run the suite without --slm-offline)."
            )
        with workspace.store.lock(f"parity-{key}"), workspace.store.slot("cpu", worker_threads()):
            reference = load_model(record.checkpoint, "cpu", worker_threads())
            other_model = load_model(exported, "cpu", worker_threads())
            rows = parity.compare(reference, other_model, examples, recipe=recipe)
        for known in parity.SCORES:
            if parity.SCORES[known].statistics is not None:
                score = parity.score(known, rows, source)
                _keep(score, _parity_key(known, record, exported, examples, source), exported, examples, workspace)
        return parity.score(name, rows, source)
    return _parity_score(name, stored, source)


def _parity_key(
    name: str, record: RunRecord, exported: Checkpoint, examples: Sequence[Example], source: ScoreSource
) -> tuple[str, Json]:
    inputs: Json = {
        "score": name,
        "version": parity.CACHE_VERSION,
        "reference": record.checkpoint.key,
        "other": exported.key,
        "rows": digest("rows", [row_digest(example, "nll", record.recipe) for example in examples]),
        "ids": digest("ids", [example.id for example in examples]),
        "source": _source_identity(source),
    }
    return digest("score", inputs), inputs


def _keep(
    score: Score,
    key: tuple[str, Json],
    exported: Checkpoint,
    examples: Sequence[Example],
    workspace: Workspace,
) -> None:
    references = {example.id: reference_hash(example.references) for example in examples}
    stored = _stored_form(score, exported)
    hashes = tuple(references[example_id] for example_id in stored.ids)
    workspace.store.write_score(key[0], replace(stored, reference_hashes=hashes), key[1])


def _parity_score(name: str, stored: StoredScore, source: ScoreSource) -> Score:
    wanted = parity.SCORES[name]
    assert wanted.value_of_sum is not None
    evidence = Evidence(
        example_ids=stored.ids,
        statistics=stored.statistics,
        columns=stored.columns,
        value_of_sum=wanted.value_of_sum,
    )
    return Score(stored.value, metric=wanted.info, source=source, evidence=evidence)
