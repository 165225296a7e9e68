"""A run as a report shows it, from what the store holds; nothing is trained, predicted or measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from slmcheck import recipes
from slmcheck.data import row_digest
from slmcheck.errors import DataError, PredictionError, SlmcheckError
from slmcheck.evaluation.baseline import Baseline
from slmcheck.evaluation.changed import changes_since, with_old_answers
from slmcheck.evaluation.curves import finding_of, learning_curve_of
from slmcheck.evaluation.diagnosing import stored_diagnosis
from slmcheck.evaluation.held import ONNX, HeldScore, held_scores
from slmcheck.evaluation.releases import trend_of
from slmcheck.evaluation.run import Run
from slmcheck.evaluation.searched import finished_search
from slmcheck.evaluation.trivial import trivial_predictions
from slmcheck.evaluation.views import View, default_kind
from slmcheck.gates import Score, ScoreSource, gap_record
from slmcheck.metrics import METRICS, confusion, measure, resolve
from slmcheck.pipeline import evidence_of, findings_of
from slmcheck.records import (
    ConfusionRecord,
    ExampleEvidence,
    Finding,
    GapRecord,
    Location,
    Prediction,
    RunReport,
    ScoreRecord,
    Task,
)
from slmcheck.records.disclosure import shown_run
from slmcheck.storage import Baseline as BaselineFile

SHOWN_EXAMPLES = 10_000
"""How many examples a report keeps; the page shortens their texts so that it stays small enough to open."""
_CLASSES = ("classification", "sequence_classification")
_TRIVIAL: Mapping[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "f1", "balanced_accuracy"),
    "sequence_classification": ("accuracy", "f1", "balanced_accuracy"),
    "generation": ("exact_match", "f1", "rougeL", "bleu", "chrf"),
    "extraction": ("f1", "exact_match"),
    "language_modeling": (),
}
"""Metrics in which trivial answers are shown."""


def describe(run: Run) -> RunReport:
    """Everything that a report says of a run."""
    held = held_scores(run)
    record, recipe, splits = run.record, run.recipe, run.splits
    predictions = _stored_predictions(run)
    accepted = _accepted(run)
    diagnosis = stored_diagnosis(run)
    found = None if diagnosis is None else diagnosis.found
    report = RunReport(
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
        usage=record.usage,
        engine=record.engine,
        hyperparameters=recipes.describe(recipe),
        scores=tuple(item.record for item in held if not item.variant and item.split != "train"),
        base_scores=_base_scores(run),
        trivial_scores=_trivial_scores(run),
        gaps=_gaps(run, held),
        parity=tuple(_parity(item) for item in held if item.variant.startswith(ONNX)),
        locations=_locations(run, held),
        confusion=_confusion(run, predictions),
        changes=() if accepted is None else changes_since(run, accepted),
        examples=_examples(run, predictions, accepted),
        rendered_row=_rendered(run),
        findings=(*(findings_of(run.key, run.workspace) if found is None else found.findings), *_curve_findings(run)),
        search=finished_search(recipe, splits, run.workspace),
        learning_curve=learning_curve_of(run.key, recipe.task, run.workspace),
        divergence=None if found is None else found.divergence,
        reliability=() if found is None else found.reliability,
        found_slices=() if found is None else found.slices,
        notes=(*record.notes, *run.workspace.store.notes),
        trend=trend_of(recipe),
        last_step=record.last_step,
        seeds=len(run.records),
    )
    return shown_run(report, run.disclosure)


def _curve_findings(run: Run) -> tuple[Finding, ...]:
    """What the learning curve of a run says, where the store has one."""
    curve = learning_curve_of(run.key, run.recipe.task, run.workspace)
    return () if curve is None else (finding_of(curve, run.recipe),)


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


def _locations(run: Run, held: list[HeldScore]) -> tuple[Location, ...]:
    """Where the exports of which scores are held depart, as far as the store knows."""
    found = []
    for name in dict.fromkeys(item.variant.removeprefix(ONNX) for item in held if item.variant.startswith(ONNX)):
        try:
            location = run.onnx(name).location
        except SlmcheckError:
            continue  # the export is not on this machine, or came from a path
        found += [location] if location is not None else []
    return tuple(found)


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
    """What trivial answers reach, as far as the store holds them: the most frequent one is made at once."""
    made = trivial_predictions(run, work=False)
    return tuple(
        _record(f"{metric} ({name})", measure(resolve(metric, run.recipe.task), predictions, _source(name, run)))
        for name, predictions in made.items()
        for metric in _TRIVIAL[run.recipe.task]
    )


def _source(name: str, run: Run) -> ScoreSource:
    return ScoreSource(name=name, task=run.recipe.task, split=run.splits.evaluation_split(run.recipe))


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


def _accepted(run: Run) -> BaselineFile | None:
    """The committed baseline; None where there is none, or none that can be read: the test that used it has said so."""
    try:
        return Baseline.of(run, run.recipe.directory).file
    except DataError:
        return None


def _examples(
    run: Run, predictions: tuple[Prediction, ...], accepted: BaselineFile | None
) -> tuple[ExampleEvidence, ...]:
    """Examples with what the accepted run answered: those that got worse, then wrong ones, better ones, the others.

    Within each kind they are in file order.
    """
    found = tuple(
        replace(evidence_of(item), correct=item.prediction in item.references, slices=item.slices)
        for item in predictions
    )
    if accepted is not None:
        found = with_old_answers(found, accepted, split=run.splits.evaluation_split(run.recipe))
    if run.recipe.task not in _CLASSES:
        found = tuple(_open_ended(item) for item in found)
    return tuple(sorted(found, key=_rank)[:SHOWN_EXAMPLES])


def _rank(example: ExampleEvidence) -> int:
    if example.correct and example.old_correct is False:
        return 2
    if example.correct:
        return 3
    return 0 if example.old_correct else 1


def _open_ended(example: ExampleEvidence) -> ExampleEvidence:
    """A generated text that is not the reference may be as good: it is right or wrong only beside one that is."""
    if example.correct or example.old_correct:
        return example
    return replace(example, correct=None, old_correct=None)


def _rendered(run: Run) -> str:
    """The first training row as the model reads it, the learned part between [[ and ]]."""
    example = next(iter(run.splits.train), None)
    if example is None:
        return ""
    if example.messages:
        return "\n".join(f"{message.get('role')}: {message.get('content')}" for message in example.messages)
    return f"{example.prompt}[[{example.answer}]]"
