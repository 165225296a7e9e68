"""The interval of one score."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from slmcheck.gates.evidence import Array, Evidence, Measurement, MetricInfo
from slmcheck.statistics import (
    bca_bounds,
    bootstrap_values,
    clopper_pearson,
    cluster_sums,
    from_scale,
    newcombe,
    normal_quantile,
    standard_error,
    t_quantile,
    to_scale,
    wilson,
)

CONFIDENCE = 0.95
FEW_CLUSTERS = 15
_NO_SPREAD = 1e-6
"""Standard error, as a share of the range, that only the rounding of a numeric gradient leaves."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """An interval, and what its reader must know of how it was made."""

    low: float
    high: float
    notes: tuple[str, ...] = ()


def level_of(measurement: Measurement, confidence: float = CONFIDENCE) -> Level | None:
    """The two-sided interval of a score; None where nothing is known of its uncertainty."""
    metric = measurement.metric
    if metric.exact:
        return None
    if measurement.known_interval is not None:
        # A metric that resampled itself did so for 95 %, and nothing allows to widen that.
        low, high = measurement.known_interval
        return Level(low=low, high=high) if confidence <= CONFIDENCE else None
    if metric.interval == "none" or measurement.n < 2:
        return None
    if measurement.evidence is None:
        return None
    if measurement.train is not None:
        return _level_of_gap(measurement, confidence)
    return _level(measurement.evidence, metric, confidence)


def _level(evidence: Evidence, metric: MetricInfo, confidence: float) -> Level:
    notes = cluster_notes(evidence)
    if evidence.binary is not None and metric.interval in ("wilson", "clopper_pearson"):
        low, high = _rate_interval(evidence, metric, confidence)
        return Level(low=low, high=high, notes=notes)
    parts = evidence.linearised(metric.scale)
    error, degrees = standard_error(parts.influence, evidence.clusters)
    value, size = float(parts.value), float(error)
    top = {"share": 1.0, "points": 100.0}.get(metric.unit)
    if top is not None and size <= _NO_SPREAD * top and min(abs(value), abs(value - top)) <= _NO_SPREAD * top:
        # All examples agree: a spread of 0 would claim certainty, while a rate knows how little n zeros prove.
        count = float(degrees + 1)
        bounds = wilson(count * round(value / top), count, normal_quantile(0.5 + 0.5 * confidence))
        return Level(low=top * float(bounds[0]), high=top * float(bounds[1]), notes=notes)
    if metric.interval == "bootstrap" or evidence.rare_classes:
        low, high = _bootstrap_interval(evidence, confidence)
        return Level(low=low, high=high, notes=(*notes, *rare_notes(evidence)))
    half = t_quantile(0.5 + 0.5 * confidence, degrees) * size
    centre = to_scale(parts.value, metric.scale)
    low, high = (float(from_scale(np.asarray(centre + side * half), metric.scale)) for side in (-1, 1))
    if top is not None and 0.0 <= value <= top:
        low, high = max(low, 0.0), min(high, top)
    if metric.bounds is not None:
        low, high = max(low, metric.bounds[0]), min(high, metric.bounds[1])
    return Level(low=low, high=high, notes=notes)


def _rate_interval(evidence: Evidence, metric: MetricInfo, confidence: float) -> tuple[float, float]:
    assert evidence.binary is not None
    count, right = len(evidence), int(evidence.binary.sum())
    if evidence.clusters is None and metric.interval == "clopper_pearson":
        return clopper_pearson(right, count, confidence)
    return rate_bounds(evidence, 0.5 + 0.5 * confidence)


def rate_bounds(evidence: Evidence, probability: float) -> tuple[float, float]:
    """Wilson's bounds of a rate, of one-sided level 1 - `probability` each; by clusters where there are."""
    size, degrees = effective_size(evidence)
    low, high = wilson(size * evidence.value, size, t_quantile(probability, degrees))
    return float(low), float(high)


def effective_size(evidence: Evidence) -> tuple[float, float]:
    """How many independent examples a rate is worth, and the degrees of freedom of its quantile.

    Clusters shrink the sample by their design effect; a cluster-robust error has clusters - 1 degrees of freedom.

    Source: Korn and Graubard 1998, with Wilson's interval instead of Clopper and Pearson's.
    """
    assert evidence.binary is not None
    count = len(evidence)
    if evidence.clusters is None:
        return float(count), math.inf
    deviation = evidence.binary - evidence.binary.mean()
    robust, degrees = standard_error(deviation, evidence.clusters)
    plain, _ = standard_error(deviation)
    if float(robust) == 0.0 or math.isinf(float(robust)):
        return float(degrees + 1), float(degrees)
    return min(float(count), count * float(plain / robust) ** 2), float(degrees)


def _bootstrap_interval(evidence: Evidence, confidence: float) -> tuple[float, float]:
    influence = evidence.linearised("identity").influence
    tail = 0.5 * (1.0 - confidence)
    rows, pulls = resampling_rows(evidence.statistics, influence, evidence)
    resampled = bootstrap_values(evidence.value_of_sum, rows)
    return bca_bounds(evidence.value, resampled, pulls, lower_tail=tail, upper_tail=tail)


def resampling_rows(statistics: Array, influence: Array, evidence: Evidence) -> tuple[Array, Array]:
    """What is drawn again, examples or whole clusters, with the influence of each."""
    if evidence.clusters is None:
        return statistics, influence
    return cluster_sums(statistics.T, evidence.clusters).T, cluster_sums(influence, evidence.clusters)


def _level_of_gap(measurement: Measurement, confidence: float) -> Level:
    evaluation, train, metric = measurement.evidence, measurement.train, measurement.parts_metric
    assert evaluation is not None
    assert train is not None
    assert metric is not None
    notes = (*cluster_notes(evaluation), *rare_notes(evaluation))
    if evaluation.binary is not None and train.binary is not None:
        bounds = [rate_bounds(part, 0.5 + 0.5 * confidence) for part in (train, evaluation)]
        if metric.higher_is_better:
            low, high = newcombe(train.value, bounds[0], evaluation.value, bounds[1])
        else:
            low, high = newcombe(evaluation.value, bounds[1], train.value, bounds[0])
        return Level(low=low, high=high, notes=notes)
    errors, degrees_of_freedom = [], []
    for part in (train, evaluation):
        error, degrees = standard_error(part.linearised(metric.change_scale).influence, part.clusters)
        errors.append(float(error) ** 2)
        degrees_of_freedom.append(degrees)
    half = math.sqrt(sum(errors)) * t_quantile(0.5 + 0.5 * confidence, welch(errors, degrees_of_freedom))
    return Level(low=measurement.value - half, high=measurement.value + half, notes=notes)


def welch(variances: list[float], degrees: list[int]) -> float:
    """Degrees of freedom of a sum of independent variances.

    Source: Welch 1947.
    """
    spread = sum(variance**2 / freedom for variance, freedom in zip(variances, degrees, strict=True))
    return sum(variances) ** 2 / spread if spread > 0.0 else float(sum(degrees))


def cluster_notes(evidence: Evidence) -> tuple[str, ...]:
    """What is said of groups: how many there are, and that few of them make a rough interval."""
    if evidence.clusters is None:
        return ()
    count = int(evidence.clusters.max()) + 1
    if count < FEW_CLUSTERS:
        return (f"only {count} groups: intervals by groups are rough below {FEW_CLUSTERS}",)
    return (f"{len(evidence)} examples in {count} groups; errors are those of groups",)


def rare_notes(evidence: Evidence) -> tuple[str, ...]:
    """What is said where a class has too few examples."""
    rare = evidence.rare_classes
    if not rare:
        return ()
    named = ", ".join(f"{label!r} ({count})" for label, count in list(rare.items())[:3])
    more = f" and {len(rare) - 3} more" if len(rare) > 3 else ""
    return (f"rare classes: {named}{more}; bootstrap interval, which covers less than it says below 10 examples",)
