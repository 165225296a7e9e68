"""Change between two measurements of the same examples: test and bounds.

A change is always oriented here: positive means better. The seed term, the variance that training again with another
seed adds, is independent of the examples and enters every standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slmcheck.statistics.distributions import binomial_cdf, binomial_pmf, t_cdf, t_quantile
from slmcheck.statistics.influence import Scale, ValueOfSum, linearise, standard_error, to_scale
from slmcheck.statistics.intervals import tango, widen

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class SeedVariance:
    """Variance of a change that comes from the training seeds, and how well it is known."""

    variance: float = 0.0
    degrees_of_freedom: float = math.inf
    """Infinite where the sd is declared or comes from six seeds and more."""


NO_SEED_TERM = SeedVariance()


@dataclass(frozen=True)
class ChangeEstimate:
    """An oriented change with its bounds; scalars or arrays of one shape.

    Attributes:
        change: Positive means better.
        low: Lower bound, of one-sided level alpha.
        high: Upper bound, of one-sided level alpha.
        p_value: One-sided, of the hypothesis that nothing got worse.
        standard_error: Examples and seeds together.
        item_variance: Variance of the change from the examples alone.
    """

    change: Array
    low: Array
    high: Array
    p_value: Array
    standard_error: Array
    item_variance: Array


def mcnemar_mid_p(lost: ArrayLike, won: ArrayLike) -> Array:
    """One-sided mid-p of the hypothesis that as many or more examples were won than lost.

    Args:
        lost: Examples right before and wrong now.
        won: Examples wrong before and right now; same shape.

    Source: exact binomial test on the discordant pairs; mid-p as in Fagerland 2013.
    """
    pairs = np.stack(np.broadcast_arrays(np.asarray(won, dtype=np.int64), np.asarray(lost, dtype=np.int64)), axis=-1)
    distinct, position = np.unique(pairs.reshape(-1, 2), axis=0, return_inverse=True)
    values = np.array([_mid_p(int(won_), int(won_ + lost_)) for won_, lost_ in distinct])
    return values[position.reshape(-1)].reshape(pairs.shape[:-1])


def _mid_p(won: int, discordant: int) -> float:
    return binomial_cdf(won, discordant, 0.5) - 0.5 * binomial_pmf(won, discordant, 0.5)


def change_of_rates(
    won: ArrayLike, lost: ArrayLike, pairs: int, alpha: float, seeds: SeedVariance = NO_SEED_TERM
) -> ChangeEstimate:
    """Change of a rate of 0/1 scores on the same examples.

    Without a seed term: McNemar's mid-p and Tango's interval. With one: the score test, whose variance under the
    hypothesis is that of the discordant pairs plus the seed term, and Tango's interval widened by it.

    Args:
        won: Examples wrong before and right now.
        lost: Examples right before and wrong now.
        pairs: All examples.
        alpha: One-sided level of the bounds.
        seeds: The seed term.
    """
    b, c = (np.asarray(item, dtype=np.float64) for item in np.broadcast_arrays(won, lost))
    change = (b - c) / pairs
    item_variance = np.maximum((b + c) / pairs - np.square(change), 0.0) / pairs
    if seeds.variance == 0.0:
        low, high = tango(b, c, float(pairs), t_quantile(1.0 - alpha, math.inf))
        return ChangeEstimate(change, low, high, mcnemar_mid_p(c, b), np.sqrt(item_variance), item_variance)
    null_error = np.sqrt((b + c) / pairs**2 + seeds.variance)
    degrees = satterthwaite(item_variance, math.inf, seeds)
    quantile = _map(t_quantile, 1.0 - alpha, degrees)
    low, high = tango(b, c, float(pairs), quantile)
    low, high = widen(change, low, high, quantile * math.sqrt(seeds.variance))
    standard_error = np.sqrt(item_variance + seeds.variance)
    p_value = _map(t_cdf, change / null_error, degrees)
    return ChangeEstimate(change, low, high, p_value, standard_error, item_variance)


def change_of_means(
    change: ArrayLike,
    item_error: ArrayLike,
    degrees_of_freedom: float,
    alpha: float,
    seeds: SeedVariance = NO_SEED_TERM,
) -> ChangeEstimate:
    """Change whose standard error from the examples is that of a mean: influence t.

    Args:
        change: Oriented change on the scale of the metric.
        item_error: Its standard error from the examples.
        degrees_of_freedom: Of that error; examples - 1 or clusters - 1.
        alpha: One-sided level of the bounds.
        seeds: The seed term.
    """
    estimate, error = (np.asarray(item, dtype=np.float64) for item in np.broadcast_arrays(change, item_error))
    item_variance = np.square(error)
    degrees = satterthwaite(item_variance, degrees_of_freedom, seeds)
    standard_error = np.sqrt(item_variance + seeds.variance)
    half = _map(t_quantile, 1.0 - alpha, degrees) * standard_error
    certain = standard_error == 0.0
    # Without any error every change is certain, and no change is no evidence against the hypothesis.
    limit = np.where(estimate < 0.0, -np.inf, np.inf)
    ratio = np.where(certain, limit, estimate / np.where(certain, 1.0, standard_error))
    p_value = _map(t_cdf, ratio, degrees)
    return ChangeEstimate(estimate, estimate - half, estimate + half, p_value, standard_error, item_variance)


@dataclass(frozen=True)
class Moved:
    """A change of two measurements of the same examples, and what each example did to it.

    Attributes:
        estimate: The change with its bounds; shape (...).
        pulls: How much each example moved the score, oriented, summing to zero; shape (..., examples).
        degrees_of_freedom: Examples - 1 or clusters - 1.
    """

    estimate: ChangeEstimate
    pulls: Array
    degrees_of_freedom: int


def change_of_sums(
    new: tuple[ValueOfSum, Array],
    old: tuple[ValueOfSum, Array],
    *,
    scale: Scale,
    sign: int,
    alpha: float,
    clusters: NDArray[np.intp] | None = None,
    seeds: SeedVariance = NO_SEED_TERM,
) -> Moved:
    """Change of any score that is a function of sums, measured twice on the same examples: influence t.

    Args:
        new: Function from sums to scores, and per-example statistics; shape (..., examples, K).
        old: The same of the earlier measurement, examples in the same order; its columns may differ.
        scale: On which the two scores are subtracted.
        sign: 1 where larger scores are better, else -1.
        alpha: One-sided level of the bounds.
        clusters: Cluster number of each example; None: each is its own.
        seeds: The seed term.
    """
    after, before = linearise(*new, scale), linearise(*old, scale)
    pulls = sign * (after.influence - before.influence)
    change = sign * (to_scale(after.value, scale) - to_scale(before.value, scale))
    error, degrees = standard_error(pulls, clusters)
    return Moved(change_of_means(change, error, degrees, alpha, seeds), pulls, degrees)


def satterthwaite(item_variance: Array, item_degrees: float, seeds: SeedVariance) -> Array:
    """Degrees of freedom of the sum of the two variances.

    Source: Satterthwaite 1946.
    """
    known = np.isfinite(item_variance)
    finite = np.where(known, item_variance, 0.0)
    spread = np.square(finite) / item_degrees + seeds.variance**2 / seeds.degrees_of_freedom
    total = np.square(finite + seeds.variance)
    if math.isinf(item_degrees) and math.isinf(seeds.degrees_of_freedom):
        return np.full_like(item_variance, np.inf)
    freedom = np.where(spread > 0.0, total / np.where(spread > 0.0, spread, 1.0), np.inf)
    return np.where(known & (total > 0.0), freedom, item_degrees)


def _map(function: Callable[[float, float], float], first: ArrayLike, second: ArrayLike) -> Array:
    """A scalar function over two broadcast arrays; constant pairs are computed once."""
    left, right = np.broadcast_arrays(np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64))
    pairs = np.stack([left.reshape(-1), right.reshape(-1)], axis=-1)
    distinct, position = np.unique(pairs, axis=0, return_inverse=True)
    values = np.array([function(float(x), float(y)) for x, y in distinct])
    return values[position.reshape(-1)].reshape(left.shape)
