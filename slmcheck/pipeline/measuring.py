"""Predictions -> Score: a metric of what a checkpoint answered, with its per-example evidence."""

from __future__ import annotations

from collections.abc import Sequence

from slmcheck.data import row_digest
from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.gates import Score, ScoreSource
from slmcheck.metrics import Metric, can_read, score_from
from slmcheck.metrics import measure as measure_predictions
from slmcheck.pipeline.predicting import evidence_of, predict, prediction_key
from slmcheck.records import Checkpoint, Example, ExampleEvidence, Json, Prediction, PredictionKind, Recipe
from slmcheck.storage import StoredScore, digest
from slmcheck.workspace import Workspace


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
            workspace.store.write_score(key, stored_form(score, checkpoint), inputs)
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
    first: PredictionKind = "options" if recipe.task in CLASSIFICATIONS else "generate"
    return first if first in metric.needs else "nll" if "nll" in metric.needs else next(iter(metric.needs))


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
        "predictions": checkpoint.key if is_file else prediction_key(checkpoint, kind, recipe, workspace),
        "rows": digest("rows", [row_digest(example, kind, recipe) for example in examples]),
        "ids": digest("ids", [example.id for example in examples]),
        "references": digest("references", [list(example.references) for example in examples]),
        "groups": digest("groups", [example.group for example in examples]),
        "source": source_identity(source),
        "metric": {"name": metric.info.name, "signature": metric.info.signature, "version": metric.version},
    }


def source_identity(source: ScoreSource) -> Json:
    """Whose score it is: baselines are accepted by that, so a slice that is the whole split shares no score with it."""
    return {"run": source.run_key, "split": source.split, "slice": source.slice}


def stored_form(score: Score, checkpoint: Checkpoint) -> StoredScore:
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
