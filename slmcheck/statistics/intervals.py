"""Intervals of rates and of differences of rates.

All take the quantile of the reference distribution instead of a confidence, so that the same formula serves normal
and t quantiles; 1.96 gives a two-sided 95 % interval. All but `clopper_pearson` work on arrays.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slmcheck.statistics.distributions import beta_quantile

Array: TypeAlias = NDArray[np.float64]
_BISECTIONS = 60


def wilson(successes: ArrayLike, trials: ArrayLike, quantile: ArrayLike) -> tuple[Array, Array]:
    """Score interval of a rate; `trials` may be an effective, not whole number.

    Returns:
        Lower and upper bound, each in [0, 1].

    Source: Wilson 1927; equal to scipy.stats.binomtest(...).proportion_ci(method="wilson").
    """
    k, n, z = (np.asarray(item, dtype=np.float64) for item in (successes, trials, quantile))
    share, square = k / n, z * z
    divisor = 1.0 + square / n
    centre = (share + square / (2.0 * n)) / divisor
    half = z * np.sqrt(share * (1.0 - share) / n + square / (4.0 * n * n)) / divisor
    return np.where(k <= 0.0, 0.0, np.maximum(centre - half, 0.0)), np.where(
        k >= n, 1.0, np.minimum(centre + half, 1.0)
    )


def clopper_pearson(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Exact two-sided interval of a rate; never covers less than it says.

    Source: Clopper and Pearson 1934.
    """
    tail = 0.5 * (1.0 - confidence)
    low = 0.0 if successes == 0 else beta_quantile(tail, successes, trials - successes + 1)
    high = 1.0 if successes == trials else beta_quantile(1.0 - tail, successes + 1, trials - successes)
    return low, high


def tango(won: ArrayLike, lost: ArrayLike, pairs: ArrayLike, quantile: ArrayLike) -> tuple[Array, Array]:
    """Score interval of the difference of two rates measured on the same examples.

    Args:
        won: Examples right in the second measurement only.
        lost: Examples right in the first measurement only.
        pairs: All examples.
        quantile: Of the reference distribution, positive.

    Returns:
        Bounds of (won - lost) / pairs, each in [-1, 1].

    Source: Tango 1998, Statistics in Medicine 17.
    """
    b, c, n, z = np.broadcast_arrays(*(np.asarray(item, dtype=np.float64) for item in (won, lost, pairs, quantile)))
    estimate = (b - c) / n
    one = np.ones_like(estimate)
    low = _tango_root(b, c, n, z, -one, estimate.copy())
    high = _tango_root(b, c, n, -z, estimate.copy(), one)
    return np.where(estimate <= -1.0, -1.0, low), np.where(estimate >= 1.0, 1.0, high)


def tango_statistic(won: Array, lost: Array, pairs: Array, difference: Array) -> Array:
    """Tango's standardised distance of the observed difference from `difference`."""
    linear = -won - lost + (2.0 * pairs - won + lost) * difference
    constant = -lost * difference * (1.0 - difference)
    root = np.sqrt(np.maximum(linear * linear - 8.0 * pairs * constant, 0.0))
    lost_share = (root - linear) / (4.0 * pairs)
    variance = pairs * (2.0 * lost_share + difference * (1.0 - difference))
    return np.asarray((won - lost - pairs * difference) / np.sqrt(np.maximum(variance, 1e-12)))


def newcombe(
    first: float, first_bounds: tuple[float, float], second: float, second_bounds: tuple[float, float]
) -> tuple[float, float]:
    """Interval of `first - second`, two rates measured on different examples, from their own intervals.

    Source: Newcombe 1998, Statistics in Medicine 17, method 10.
    """
    difference = first - second
    down = np.hypot(first - first_bounds[0], second_bounds[1] - second)
    up = np.hypot(first_bounds[1] - first, second - second_bounds[0])
    return float(difference - down), float(difference + up)


def widen(estimate: ArrayLike, low: ArrayLike, high: ArrayLike, by: ArrayLike) -> tuple[Array, Array]:
    """Bounds after an independent error of half-width `by` was added: half-widths add in squares.

    Source: Zou and Donner 2008 (MOVER), with one symmetric component.
    """
    centre, lower, upper = (np.asarray(item, dtype=np.float64) for item in (estimate, low, high))
    return centre - np.hypot(centre - lower, by), centre + np.hypot(upper - centre, by)


def _tango_root(b: Array, c: Array, n: Array, target: Array, low: Array, high: Array) -> Array:
    """Where the statistic, which falls in the difference, equals `target`."""
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        above = tango_statistic(b, c, n, middle) > target
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray(0.5 * (low + high))
