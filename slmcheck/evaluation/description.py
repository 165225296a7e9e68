"""A run as a report shows it, from what the store holds; nothing is trained, predicted or measured."""

from __future__ import annotations

from dataclasses import replace

from slmcheck import recipes
from slmcheck.data import row_digest
from slmcheck.errors import PredictionError, SlmcheckError
from slmcheck.evaluation.held import ONNX, HeldScore, held_scores
from slmcheck.evaluation.run import Run
from slmcheck.evaluation.views import View, default_kind
from slmcheck.gates import Score, ScoreSource, gap_record
from slmcheck.metrics import METRICS, confusion, majority, measure, resolve
from slmcheck.pipeline import evidence_of, findings_of
from slmcheck.records import (
    ConfusionRecord,
    ExampleEvidence,
    GapRecord,
    Prediction,
    RunReport,
    ScoreRecord,
)

SHOWN_EXAMPLES = 100
_CLASSES = ("classification", "sequence_classification")
_TRIVIAL = ("accuracy", "f1", "balanced_accuracy")


def describe(run: Run) -> RunReport:
    """Everything that a report says of a run."""
    held = held_scores(run)
    record, recipe, splits = run.record, run.recipe, run.splits
    predictions = _stored_predictions(run)
    return RunReport(
        name=recipe.name,
        key=record.key,
        base_model=recipe.base_model,
        trainer=recipe.trainer,
        task=recipe.task,
        environment=record.environment,
        made_elsewhere=record.made_elsewhere,
        created=record.created,
        data={"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
        selected_on_evaluation=recipe.evaluates_on_validation,
        history=record.history,
        best_step=record.best_step,
        stopped_early=record.stopped_early,
        resources=record.resources,
        engine=record.engine,
        hyperparameters=recipes.describe(recipe),
        scores=tuple(item.record for item in held if not item.variant and item.split != "train"),
        base_scores=_base_scores(run),
        trivial_scores=_trivial_scores(run),
        gaps=_gaps(run, held),
        parity=tuple(_parity(item) for item in held if item.variant.startswith(ONNX)),
        confusion=_confusion(run, predictions),
        examples=_examples(predictions),
        rendered_row=_rendered(run),
        findings=findings_of(run.key, run.workspace),
        notes=(*record.notes, *run.workspace.store.notes),
        last_step=record.last_step,
        seeds=len(run.records),
    )


def _parity(held: HeldScore) -> ScoreRecord:
    record = held.record
    return ScoreRecord(
        metric=f"{held.variant.removeprefix(ONNX)} {record.metric}",
        value=record.value,
        low=record.low,
        high=record.high,
        n=record.n,
        unit=record.unit,
        higher_is_better=record.higher_is_better,
        split=record.split,
        slice=record.slice,
        signature=record.signature,
    )


def _base(run: Run) -> View | None:
    try:
        return run.base
    except SlmcheckError:
        return None  # it has none, or its weights are not on this machine: the report leaves the column empty


def _base_scores(run: Run) -> tuple[ScoreRecord, ...]:
    base = _base(run)
    if base is None:
        return ()
    found = []
    for name, metric in METRICS[run.recipe.task].items():
        if base.holds(metric):
            found.append(_record(name, base.score_of(metric, "evaluation")))
    return tuple(found)


def _record(name: str, score: Score) -> ScoreRecord:
    interval = score.interval
    return ScoreRecord(
        metric=name,
        value=float(score),
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        n=score.n,
        unit=score.metric.unit,
        higher_is_better=score.metric.higher_is_better,
        split=score.source.split,
        slice=score.source.slice,
        signature=score.metric.signature,
    )


def _trivial_scores(run: Run) -> tuple[ScoreRecord, ...]:
    """What the most frequent answer of the training rows reaches, for the metrics that the run was asked for."""
    if run.recipe.task not in _CLASSES or not run.splits.train:
        return ()
    source = ScoreSource(name="majority", task=run.recipe.task)
    predictions = majority(run.splits.train, run.examples())
    return tuple(
        _record(f"{name} (majority)", measure(resolve(name, run.recipe.task), predictions, source)) for name in _TRIVIAL
    )


def _gaps(run: Run, held: list[HeldScore]) -> tuple[GapRecord, ...]:
    base = _base(run)
    found = []
    for item in held:
        name = item.metric
        if item.split != "train" or item.slice or item.variant or name not in METRICS[run.recipe.task]:
            continue
        metric = resolve(name, run.recipe.task)
        if not run.holds(metric):
            continue
        has_base = base is not None and base.holds(metric) and base.holds(metric, "train")
        found.append(gap_record(run.gap(name), base.gap(name) if base is not None and has_base else None))
    return tuple(found)


def _stored_predictions(run: Run) -> tuple[Prediction, ...]:
    """The answers that the store holds; none where one is missing."""
    kind = default_kind(run.recipe)
    if run.checkpoint.kind == "predictions":
        try:
            return run.predictions()
        except PredictionError:
            return ()  # the file lacks a row; the test that asked for a score has said so
    rows = run.workspace.store.predictions(run.prediction_key(kind)).read()
    if any(row_digest(example, kind, run.recipe) not in rows for example in run.examples()):
        return ()
    return run.predictions()


def _confusion(run: Run, predictions: tuple[Prediction, ...]) -> ConfusionRecord | None:
    return confusion(predictions) if predictions and run.recipe.task in _CLASSES else None


def _examples(predictions: tuple[Prediction, ...]) -> tuple[ExampleEvidence, ...]:
    """Wrong answers first, in file order, then right ones, as many as a page holds."""
    wrong = [found for found in predictions if found.prediction not in found.references]
    right = [found for found in predictions if found.prediction in found.references]
    return tuple(
        replace(evidence_of(found), correct=found.prediction in found.references, slices=found.slices)
        for found in (*wrong, *right)[:SHOWN_EXAMPLES]
    )


def _rendered(run: Run) -> str:
    """The first training row as the model reads it, the learned part between [[ and ]]."""
    example = next(iter(run.splits.train), None)
    if example is None:
        return ""
    if example.messages:
        return "\n".join(f"{message.get('role')}: {message.get('content')}" for message in example.messages)
    return f"{example.prompt}[[{example.answer}]]"
