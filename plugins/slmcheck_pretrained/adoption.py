"""Finding a model that was trained elsewhere and taking it over as the checkpoint of a run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from slmcheck.backends.base_identity import check_base
from slmcheck.backends.checkpoint_files import check_weights
from slmcheck.data.hub_cache import cached_commit, gated_text, snapshot_folder
from slmcheck.errors import CheckpointError, MissingExtraError
from slmcheck.inference import read_saved_predictions
from slmcheck.recipes import base_model_of
from slmcheck.recipes.base_models import base_model_problem, sha256_of
from slmcheck.records import Checkpoint, Recipe
from slmcheck.storage import digest
from slmcheck.training import TrainingJob, adapter_checkpoint
from slmcheck.training.traces import TrainingTrace, read_trace, write_trace
from slmcheck_pretrained import PretrainedOptions

PREDICTIONS = "predictions.jsonl"


def source_problems(recipe: Recipe, options: PretrainedOptions) -> list[str]:
    """What is wrong with where the model is said to be, one sentence each."""
    if options.predictions is not None:
        if options.model is not None or options.adapter is not None:
            return ["options has predictions beside model or adapter; saved predictions need no model, keep one"]
        file = recipe.directory / options.predictions
        return (
            [] if file.is_file() else [f"options.predictions is '{options.predictions}', and there is no file {file}"]
        )
    if options.model is None and options.adapter is None:
        return ["options names no model; give model, adapter or predictions"]
    problems = []
    if options.model is not None:
        problem = base_model_problem(replace(recipe, base_model=options.model))
        if problem is not None:
            problems.append(problem.replace("base_model", "options.model", 1))
    if options.adapter is not None and _is_folder(options.adapter):
        folder = recipe.directory / options.adapter
        if not (folder / "adapter_config.json").is_file():
            problems.append(f"options.adapter is '{options.adapter}', and {folder} has no adapter_config.json")
    return problems


def adopt(job: TrainingJob, options: PretrainedOptions) -> Checkpoint:
    """The checkpoint of a job whose model exists already; writes its history into the output folder.

    Raises:
        DataError: If a file of saved predictions cannot be used.
        CheckpointError: If weights are missing, damaged, pickled only, or belong to another base model.
        RecipeError: If the model cannot be found.
    """
    if options.predictions is not None:
        checkpoint, trace = _predictions(job, options.predictions), TrainingTrace()
    elif options.adapter is not None:
        checkpoint, trace = _adapter(job, options, options.adapter)
    else:
        checkpoint, trace = _model(job, options)
    write_trace(job.output_dir, trace, engine="trained elsewhere")
    return checkpoint


def _predictions(job: TrainingJob, name: str) -> Checkpoint:
    source = job.recipe.directory / name
    read_saved_predictions(source)
    kept = job.output_dir / PREDICTIONS
    shutil.copyfile(source, kept)
    return Checkpoint(kind="predictions", path=kept, key=digest("checkpoint", {"predictions": sha256_of(kept)}))


def _model(job: TrainingJob, options: PretrainedOptions) -> tuple[Checkpoint, TrainingTrace]:
    found = base_model_of(_with_model(job.recipe, options))
    if found.folder is None:
        return found.checkpoint(), TrainingTrace()
    check_weights(found.folder, "model")
    return found.checkpoint(), read_trace(found.folder)


def _adapter(job: TrainingJob, options: PretrainedOptions, name: str) -> tuple[Checkpoint, TrainingTrace]:
    base = base_model_of(_with_model(job.recipe, options))
    folder = _adapter_folder(job.recipe, name)
    check_weights(folder, "adapter_model")
    if base.folder is not None:
        check_base(folder, base.folder, name=base.name)
    trace = read_trace(folder)
    trained_on = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("base_model_name_or_path")
    if trained_on not in (None, "", base.name, base.location):
        note = f"The adapter says it was trained on '{trained_on}'; it is judged on '{base.name}'."
        trace = replace(trace, notes=(*trace.notes, note))
    return (
        adapter_checkpoint(folder, base_model=base.location, trust_remote_code=job.recipe.trust_remote_code),
        trace,
    )


def _with_model(recipe: Recipe, options: PretrainedOptions) -> Recipe:
    return recipe if options.model is None else replace(recipe, base_model=options.model)


def _adapter_folder(recipe: Recipe, name: str) -> Path:
    """The folder of an adapter; one of a hub is fetched unless the cache has it."""
    if _is_folder(name):
        return (recipe.directory / name).resolve()
    repository, _, revision = name.partition("@")
    cached = snapshot_folder("models", repository, cached_commit("models", repository, revision or None))
    if cached is not None and (cached / "adapter_config.json").is_file():
        return cached
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError(
            f"Fetching the adapter '{name}' needs huggingface_hub, which is not installed.\n"
            "Install it: pip install 'slmcheck[train]'"
        ) from error
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled

    try:
        return Path(
            snapshot_download(repository, revision=revision or None, allow_patterns=["*.json", "*.safetensors"])
        )
    except GatedRepoError as error:
        raise CheckpointError(f"{recipe.name}: adapter {gated_text('models', repository)}") from error
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise CheckpointError(
            f"{recipe.name}: the adapter '{name}' is not on this machine and the hub gave no answer.\n"
            f"{str(error).strip().splitlines()[0]}\n"
            f"Use a folder (./folder), or download it where there is a network: hf download {repository}"
        ) from error


def _is_folder(name: str) -> bool:
    return name.startswith((".", "/"))
