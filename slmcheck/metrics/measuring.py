"""Predictions to scores."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from slmcheck.errors import UndefinedScoreError
from slmcheck.gates import Evidence, Score, ScoreSource
from slmcheck.metrics.definition import MEAN_COLUMNS, Array, Metric, Statistics, ValueOfSum, mean_of_sum
from slmcheck.records import ExampleEvidence, Prediction
from slmcheck.storage import digest

_HASH_DIGITS = 16
_RESAMPLES = 200
_RESAMPLING_LIMIT_SECONDS = 0.05
Show = Callable[[str], ExampleEvidence]


def measure(metric: Metric, predictions: Sequence[Prediction], source: ScoreSource, show: Show | None = None) -> Score:
    """The score of predictions with its per-example evidence.

    The order of the predictions changes nothing, not even the last digit: they are summed in the order of their ids.

    Args:
        metric: What to compute.
        predictions: One an example, with ids of their own.
        source: Whose score it is.
        show: Example id to its text, for failure messages; None shows prompt, reference and answer as predicted.

    Raises:
        UndefinedScoreError: If there are no predictions, one lacks what the metric reads, two have one id, or the
            metric has no value on them.
    """
    if not predictions:
        raise UndefinedScoreError(
            f"{metric.name} of no predictions is undefined.\n"
            "The split or slice is empty; a score needs one example at least."
        )
    ordered = sorted(predictions, key=lambda item: item.id)
    _check_ids(metric.name, ordered)
    started = time.perf_counter()
    statistics = metric.statistics(ordered)
    if not isinstance(statistics, Statistics):
        seconds = time.perf_counter() - started
        return _score_of_number(metric, ordered, float(statistics), source, seconds=seconds)
    answers = [item.prediction for item in ordered]
    return score_from(
        metric,
        ids=tuple(item.id for item in ordered),
        statistics=np.asarray(statistics.per_example, dtype=np.float64),
        columns=statistics.columns,
        source=source,
        groups=_groups(ordered),
        reference_hashes=tuple(reference_hash(item.references) for item in ordered),
        answers=None if all(answer is None for answer in answers) else tuple(answer or "" for answer in answers),
        show=show or _show(ordered),
        value_of_sum=statistics.value_of_sum,
    )


def score_from(
    metric: Metric,
    *,
    ids: tuple[str, ...],
    statistics: Array,
    columns: tuple[str, ...],
    source: ScoreSource,
    groups: tuple[str, ...] | None = None,
    reference_hashes: tuple[str, ...] | None = None,
    answers: tuple[str, ...] | None = None,
    show: Show | None = None,
    value_of_sum: ValueOfSum | None = None,
) -> Score:
    """A score from its statistics: how a stored one is read again.

    Args:
        metric: What was measured.
        ids: The n example ids.
        statistics: Shape (n, K).
        columns: Names of the K columns.
        source: Whose score it is.
        groups: Group of each example; None where all are independent.
        reference_hashes: `reference_hash` of each example.
        answers: Answer of each example.
        show: Example id to its text, for failure messages.
        value_of_sum: Sums (..., K) to scores (...); None takes the metric's own.

    Raises:
        UndefinedScoreError: If a statistic or the score is not finite, or the metric does not know its function.
    """
    function = value_of_sum or (metric.value_of_sum if can_read(metric, columns) else None)
    if function is None:
        raise UndefinedScoreError(
            f"The stored score of {metric.name} cannot be read: the metric makes its function while it measures.\n"
            "Measure it again from the predictions."
        )
    _check_finite(metric.name, ids, statistics)
    evidence = Evidence(
        example_ids=ids,
        statistics=statistics,
        columns=columns,
        value_of_sum=function,
        groups=groups,
        reference_hashes=reference_hashes,
        answers=answers,
        show=show,
    )
    value = float(function(statistics.sum(axis=0)))
    if not np.isfinite(value):
        raise UndefinedScoreError(f"{metric.name} has no value on these {len(ids)} predictions: it would be {value}.")
    return Score(value, metric=metric.info, source=source, evidence=evidence)


def can_read(metric: Metric, columns: tuple[str, ...]) -> bool:
    """Whether a stored score with these columns can be read again without measuring.

    Custom metrics that return `Statistics` make their function of sums while they measure, unless `@metric` was given
    one; then they are measured again.
    """
    return metric.value_of_sum is not None and (metric.value_of_sum is not mean_of_sum or columns == MEAN_COLUMNS)


def reference_hash(references: Sequence[str]) -> str:
    """Sixteen hex digits that change when a reference is edited."""
    return digest("reference", list(references))[:_HASH_DIGITS]


def _check_ids(metric: str, ordered: Sequence[Prediction]) -> None:
    repeated = sorted(name for name, times in Counter(item.id for item in ordered).items() if times > 1)
    if repeated:
        raise UndefinedScoreError(
            f"{metric} cannot be measured: {len(repeated)} example ids repeat ({', '.join(repeated[:3])}).\n"
            "Every prediction needs an id of its own, so that two runs can be compared example by example."
        )


def _check_finite(metric: str, ids: Sequence[str], statistics: Array) -> None:
    broken = np.flatnonzero(~np.isfinite(statistics).all(axis=1)) if len(ids) else np.array([], dtype=int)
    if len(broken):
        shown = ", ".join(ids[index] for index in broken[:3])
        raise UndefinedScoreError(
            f"{metric} is undefined: {len(broken)} of {len(ids)} predictions hold NaN or an infinity ({shown}).\n"
            "A model with such outputs is broken: look at its training loss and its precision."
        )


def _groups(ordered: Sequence[Prediction]) -> tuple[str, ...] | None:
    if all(item.group is None for item in ordered):
        return None
    # An example without a group stands alone; the prefix keeps its id from meeting the name of a group.
    return tuple(f"g:{item.group}" if item.group is not None else f"id:{item.id}" for item in ordered)


def _show(ordered: Sequence[Prediction]) -> Show:
    by_id = {item.id: item for item in ordered}

    def show(example_id: str) -> ExampleEvidence:
        item = by_id[example_id]
        return ExampleEvidence(id=item.id, prompt=item.prompt, reference=item.reference, answer=item.prediction or "")

    return show


def _score_of_number(
    metric: Metric, ordered: Sequence[Prediction], value: float, source: ScoreSource, *, seconds: float
) -> Score:
    if not np.isfinite(value):
        raise UndefinedScoreError(f"{metric.name} has no value on these {len(ordered)} predictions: it gave {value}.")
    quick = seconds < _RESAMPLING_LIMIT_SECONDS and len(ordered) > 1
    interval = _resampled_interval(metric, ordered) if quick else None
    return Score(value, metric=metric.info, source=source, evidence=None, interval=interval, n=len(ordered))


def _resampled_interval(metric: Metric, ordered: Sequence[Prediction]) -> tuple[float, float] | None:
    """The 95 % interval of a function that gives one number, by resampling its examples."""
    rng = np.random.default_rng(0)
    values = []
    for _ in range(_RESAMPLES):
        chosen = rng.integers(0, len(ordered), len(ordered))
        value = metric.statistics([ordered[index] for index in chosen])
        values.append(float("nan") if isinstance(value, Statistics) else float(value))
    if not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
