"""Checkpoint and examples -> predictions: each row is asked at most once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from slmcheck import inference, recipes
from slmcheck.backends.environment import expected_environment, worker_threads
from slmcheck.data import row_digest
from slmcheck.errors import OfflineMissError, PredictionError
from slmcheck.records import (
    Checkpoint,
    DeviceClass,
    Example,
    ExampleEvidence,
    Json,
    PredictedRow,
    Prediction,
    PredictionKind,
    Recipe,
)
from slmcheck.workspace import Workspace

if TYPE_CHECKING:
    from slmcheck.backends import LanguageModel


Watch = Callable[["LanguageModel", Sequence[Example]], inference.Ask | None]
"""Is told which model is asked about which examples, and may ask in its place."""


def predict(
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    kind: PredictionKind,
    recipe: Recipe,
    workspace: Workspace,
    *,
    watch: Watch | None = None,
) -> tuple[Prediction, ...]:
    """What a checkpoint answers to examples, in their order; only rows that the store lacks are asked.

    Raises:
        OfflineMissError: If rows would have to be predicted and the session is offline.
        PredictionError: If the model cannot be evaluated on them.
        CheckpointError: If its weights cannot be used.
    """
    if checkpoint.kind == "predictions":
        return _saved(checkpoint, examples)
    rows = _predicted_rows(checkpoint, examples, kind, recipe, workspace, watch)
    return tuple(join(example, rows[row_digest(example, kind, recipe)]) for example in examples)


def _predicted_rows(
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    kind: PredictionKind,
    recipe: Recipe,
    workspace: Workspace,
    watch: Watch | None,
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
                ask = None if watch is None else watch(model, asked)
                inference.predict(model, asked, kind=kind, recipe=recipe, on_rows=on_rows, ask=ask)
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


def join(example: Example, row: PredictedRow) -> Prediction:
    """What a model answered to an example, with its references, options and slices."""
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


@lru_cache(maxsize=1)
def load_merged_model(checkpoint: Checkpoint, threads: int) -> LanguageModel:
    """An adapter merged into its base model, in float32 in memory; the last one stays there."""
    from slmcheck.backends import load_merged

    return load_merged(checkpoint, threads=threads)


def release_models() -> None:
    """Forget the models in memory, so that a training child finds the device free."""
    if load_model.cache_info().currsize or load_merged_model.cache_info().currsize:
        from slmcheck.backends import free_memory

        load_model.cache_clear()
        load_merged_model.cache_clear()
        free_memory()


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
