"""What more rows would bring: the recipe on a quarter, a half and all of its training rows.

Parts are nested and are judged on the same evaluation rows, so each doubling is a paired comparison. The runs are in
the store; asking again trains nothing.

Source: the design notes' rule for the next doubling, g2 * clip(g2 / g1, .3, 1), a power law that may only flatten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from slmcheck import gates
from slmcheck.evaluation import Run
from slmcheck.evaluation.curves import keep_learning_curve
from slmcheck.evaluation.starting import PRIMARY
from slmcheck.gates import Comparison, MetricInfo, Score, Units
from slmcheck.metrics import resolve
from slmcheck.records import (
    ChangeRecord,
    CurvePoint,
    CurveVerdict,
    LearningCurveRecord,
    Recipe,
)
from slmcheck.studies.subsets import nested_subset
from slmcheck.studies.trainings import BudgetSpentError, Training, Trainings

FRACTIONS = (0.25, 0.5, 1.0)
ALPHA = 0.05
TARGET = 0.9
"""What a score on the scale of 0 to 1 should reach where nobody says it."""
LEAST_GAIN = 0.01
"""A doubling that brings less is not worth it; one point of a score in percent."""
_SLOWEST, _STEADY = 0.3, 1.0


def learning_curve(
    run: Run, trainings: Trainings, *, metric: str | None = None, target: float | None = None
) -> LearningCurveRecord:
    """Train on nested parts of the rows and say what limits the score.

    Args:
        run: The run on all rows; its recipe and seeds are repeated on the parts.
        trainings: Carries them out; its budget ends the study with the parts known by then.
        metric: Name of a metric of the task; None takes the one that decides a release.
        target: What the score should reach; None takes .9 for scores from 0 to 1.

    Raises:
        UnknownMetricError: If the task has no such metric.
        BudgetSpentError: If not even one part was trained.
        TrainingError: If a training ended without a result.
    """
    name = metric or PRIMARY[run.recipe.task]
    info = resolve(name, run.recipe.task).info
    goal = TARGET if target is None and info.unit == "share" and info.higher_is_better else target
    parts = {fraction: _part(run, fraction) for fraction in FRACTIONS[:-1]}
    trainings.announce(f"learning curve of {run.recipe.name}", list(parts.values()))
    known: dict[float, Run] = {}
    stopped = ""
    # The half first: with the whole run it already says what the last doubling brought.
    for fraction in sorted(parts, reverse=True):
        try:
            known[fraction] = trainings.run(parts[fraction])
        except BudgetSpentError as error:
            if not known:
                raise
            stopped = str(error).splitlines()[0]
            break
    record = _judged(run, known, name, goal, stopped)
    if not stopped:
        keep_learning_curve(run.key, record, run.workspace)
    return record


def _part(run: Run, fraction: float) -> Training:
    percent = f"{round(100 * fraction)} %"
    recipe: Recipe = replace(run.recipe, name=f"{run.recipe.name}[{percent} of rows]", search=None)
    splits = nested_subset(run.splits, run.recipe, fraction)
    return Training(label=f"{percent} of the rows", recipe=recipe, splits=splits, seeds=len(run.records))


def _judged(run: Run, known: dict[float, Run], name: str, target: float | None, stopped: str) -> LearningCurveRecord:
    runs = {**dict(sorted(known.items())), 1.0: run}
    scores = {fraction: part.measure(name) for fraction, part in runs.items()}
    info = scores[1.0].metric
    ordered = list(scores.values())
    doublings = [gates.compare(new.measurement, old.measurement, alpha=ALPHA) for old, new in pairwise(ordered)]
    gains = tuple(_change(comparison) for comparison in doublings)
    expected = expected_gain(gains)
    train = run.score_of(resolve(name, run.recipe.task), "train")
    verdict = verdict_of(gains[-1], expected, info, value=doublings[-1].new_value, train=float(train), target=target)
    notes = (*((f"{stopped}",) if stopped else ()), *dict.fromkeys(note for item in doublings for note in item.notes))
    return LearningCurveRecord(
        metric=name,
        unit=info.unit,
        higher_is_better=info.higher_is_better,
        points=tuple(_point(fraction, runs[fraction], score) for fraction, score in scores.items()),
        gains=gains,
        expected_gain=expected,
        train_value=float(train),
        target=target,
        verdict=verdict,
        summary=_summary(verdict, gains[-1], expected, train, target),
        notes=notes,
    )


def _point(fraction: float, run: Run, score: Score) -> CurvePoint:
    low, high = score.interval or (None, None)
    return CurvePoint(
        fraction=fraction, rows=len(run.splits.train), value=float(score), low=low, high=high, run_key=run.key
    )


def _change(comparison: Comparison) -> ChangeRecord:
    estimate = comparison.estimate
    return ChangeRecord(value=float(estimate.change), low=float(estimate.low), high=float(estimate.high))


def expected_gain(gains: Sequence[ChangeRecord]) -> ChangeRecord | None:
    """What the next doubling would bring, with the uncertainty of the last one only; None after fewer than two."""
    if len(gains) < 2:
        return None
    first, last = gains[-2:]
    ratio = _STEADY if first.value <= 0.0 else min(max(last.value / first.value, _SLOWEST), _STEADY)
    return ChangeRecord(value=last.value * ratio, low=last.low * ratio, high=last.high * ratio)


def verdict_of(
    gain: ChangeRecord,
    expected: ChangeRecord | None,
    info: MetricInfo,
    *,
    value: float,
    train: float,
    target: float | None,
) -> CurveVerdict:
    """What limits a score.

    Args:
        gain: What the last doubling brought.
        expected: What the next would bring; None where it is not known.
        info: The metric.
        value: The score on all rows.
        train: The score of the training rows.
        target: What the score should reach; None where nobody said it.
    """
    least = _least(info, value)
    if gain.low > 0.0 and (expected or gain).value >= least:
        return "more-data-helps"
    if gain.high >= least:
        return "undecided"
    reaches = target is None or info.sign * (train - target) >= 0.0
    return "saturated" if reaches else "capacity-limited"


def _least(info: MetricInfo, value: float) -> float:
    """The smallest gain worth having, on the scale of changes."""
    if info.unit == "points":
        return 100.0 * LEAST_GAIN
    return LEAST_GAIN if info.unit == "share" or info.change_scale == "log" else LEAST_GAIN * abs(value)


def _summary(
    verdict: CurveVerdict, gain: ChangeRecord, expected: ChangeRecord | None, train: Score, target: float | None
) -> str:
    units, sign = Units(train.metric), train.metric.sign
    low, high = sorted((sign * gain.low, sign * gain.high))
    change, low_text, high_text = units.changes(sign * gain.value, low, high)
    last = f"the last doubling of the rows brought {change}{units.unit} ({low_text} .. {high_text})"
    if verdict == "more-data-helps":
        worth = units.changes(sign * (expected or gain).value)[0] + units.unit
        return f"More rows help: {last}; doubling them again is worth about {worth}."
    reached = units.values(float(train))[0]
    if verdict == "capacity-limited":
        goal = units.values(float(target or 0.0))[0]
        return f"More rows do not help, and training rows reach {reached} of {goal}: the model is too small; {last}."
    if verdict == "saturated" and target is None:
        return f"More rows do not help: {last}; training rows reach {reached}, and nobody said what they should reach."
    if verdict == "saturated":
        return f"Nothing more comes of rows like these: {last}, and training rows reach {reached}."
    return f"It cannot be told whether more rows help: {last}. More evaluation rows or seeds would tell."
