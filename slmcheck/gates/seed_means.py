"""One score of several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slmcheck.errors import ComparisonError
from slmcheck.gates.evidence import Array, Evidence, Measurement
from slmcheck.gates.score import Score
from slmcheck.gates.seeds import LEAST_SEEDS
from slmcheck.statistics import to_scale

_COLUMNS = ("sum", "count")


def mean_of_seeds(scores: Sequence[Score]) -> Score:
    """The score of one recipe trained with several seeds: the mean of their values.

    Its evidence is the mean of the influence values of each example, so level intervals and paired tests are influence
    t. From three seeds on, their standard deviation becomes the measured seed sd.

    Args:
        scores: One a seed, of one metric on the same examples, before any arithmetic. Run key, answers and texts of
            the first are kept.

    Raises:
        ComparisonError: If there are no scores, the metrics or examples differ, or a score has no evidence.
    """
    if not scores:
        raise ComparisonError("The mean of no scores has no value.")
    if len(scores) == 1:
        return scores[0]
    measurements = [score.measurement for score in scores]
    first = measurements[0]
    values = np.array([item.value for item in measurements])
    on_scale = [float(value) for value in to_scale(values, first.metric.change_scale)]
    seed_sd = statistics.stdev(on_scale) if len(scores) >= LEAST_SEEDS else None
    source = replace(first.source, seeds=len(scores), seed_sd=seed_sd)
    value = float(values.mean())
    if first.metric.exact:
        return Score.of(Measurement(value=value, metric=first.metric, source=source))
    evidence = _mean_evidence(measurements, value)
    return Score.of(Measurement(value=value, metric=first.metric, source=source, evidence=evidence))


def _mean_evidence(measurements: Sequence[Measurement], value: float) -> Evidence:
    first = measurements[0].evidence
    if first is None:
        raise ComparisonError(f"{measurements[0].label} has no per-example evidence, so seeds cannot be averaged.")
    pulls = []
    for item in measurements:
        evidence = item.evidence
        if evidence is None or evidence.example_ids != first.example_ids or item.metric != measurements[0].metric:
            raise ComparisonError(f"{item.label} has other examples or another metric than {measurements[0].label}.")
        if item.train is not None:
            raise ComparisonError(f"{item.label} is a gap: average the scores first, then take their gap.")
        pulls.append(evidence.linearised("identity").influence)
    shares = value + np.mean(pulls, axis=0)
    return replace(
        first,
        statistics=np.stack([shares, np.ones(len(first))], axis=1),
        columns=_COLUMNS,
        value_of_sum=_mean,
        remeasure=None,
    )


def _mean(sums: Array) -> Array:
    return np.asarray(sums[..., 0] / sums[..., 1])
