"""Bootstrap bounds for scores whose linearisation is poor: classes with a handful of examples.

Seeded, hence the same bounds on every machine and in every session.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from slmcheck.statistics.distributions import normal_cdf, normal_quantile
from slmcheck.statistics.influence import ValueOfSum

Array: TypeAlias = NDArray[np.float64]

RESAMPLES = 1999
_SEED = 20240711
_CELLS_AT_ONCE = 4_000_000
_LEAST_TAIL = 1e-4


def bootstrap_values(value_of_sum: ValueOfSum, statistics: Array, *, resamples: int = RESAMPLES) -> Array:
    """Scores of resampled rows of `statistics`, which are examples or sums of clusters; shape (resamples,)."""
    rows = len(statistics)
    generator = np.random.default_rng(_SEED)
    at_once = max(1, _CELLS_AT_ONCE // rows)
    values = []
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = generator.integers(0, rows, size=(size, rows))
        drawn += rows * np.arange(size)[:, None]
        counts = np.bincount(drawn.reshape(-1), minlength=size * rows).reshape(size, rows)
        values.append(value_of_sum(counts.astype(np.float64) @ statistics))
    return np.concatenate(values)


def bca_bounds(
    value: float, resampled: Array, influence: Array, *, lower_tail: float, upper_tail: float
) -> tuple[float, float]:
    """Bias-corrected and accelerated bounds.

    Args:
        value: The score of the sample itself.
        resampled: Scores of the resamples; shape (resamples,).
        influence: Influence value of each resampled row, for the acceleration; shape (rows,).
        lower_tail: Probability below the lower bound.
        upper_tail: Probability above the upper bound.

    Source: Efron 1987; the acceleration from influence values, Efron and Tibshirani 1993, 14.3 and 22.6.
    """
    below = (np.count_nonzero(resampled < value) + 0.5 * np.count_nonzero(resampled == value)) / len(resampled)
    bias = normal_quantile(min(max(below, _LEAST_TAIL), 1.0 - _LEAST_TAIL))
    spread = float(np.square(influence).sum())
    acceleration = float((influence**3).sum()) / (6.0 * spread**1.5) if spread > 0.0 else 0.0
    ordered = np.sort(resampled)
    return (
        _quantile(ordered, _adjusted(lower_tail, bias, acceleration)),
        _quantile(ordered, _adjusted(1.0 - upper_tail, bias, acceleration)),
    )


def _adjusted(probability: float, bias: float, acceleration: float) -> float:
    shifted = bias + normal_quantile(probability)
    return normal_cdf(bias + shifted / (1.0 - acceleration * shifted))


def _quantile(ordered: Array, probability: float) -> float:
    return float(np.quantile(ordered, probability))
