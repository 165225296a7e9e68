"""Normal, t, binomial and beta distributions from `math`, equal to scipy to 1e-10.

scipy costs 0.75 s at every start of a pytest that has slmcheck installed, for these eight functions.
Point probabilities follow Loader (2000), Fast and Accurate Computation of Binomial Probabilities: no difference of
large logarithms, hence no loss of digits at hundreds of thousands of examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

_STANDARD_NORMAL = NormalDist()
_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_TINY = 1e-300
_SMALLEST_STEP = 1e-16
_MOST_TERMS = 100_000


def normal_cdf(x: float) -> float:
    """Probability that a standard normal variable is at most `x`."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def normal_quantile(probability: float) -> float:
    """The `x` with `normal_cdf(x) == probability`; infinite at 0 and 1."""
    _require_probability(probability)
    if probability in (0.0, 1.0):
        return math.inf if probability == 1.0 else -math.inf
    return _STANDARD_NORMAL.inv_cdf(probability)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Probability that a Beta(a, b) variable is at most `x`: the regularised incomplete beta function.

    Args:
        x: In [0, 1].
        a: First shape, positive.
        b: Second shape, positive.

    Raises:
        ValueError: If a shape is not positive.

    Source: Lentz's continued fraction, Numerical Recipes 6.4.
    """
    if a <= 0 or b <= 0:
        raise ValueError(f"shapes of a beta distribution are positive; got {a} and {b}")
    return _beta_cdf(x, 1.0 - x, a, b)


@lru_cache(maxsize=4096)
def beta_quantile(probability: float, a: float, b: float) -> float:
    """The `x` with `beta_cdf(x, a, b) == probability`."""
    _require_probability(probability)
    if probability in (0.0, 1.0):
        return probability
    return _invert(lambda x: beta_cdf(x, a, b) - probability, 0.0, 1.0)


def t_cdf(x: float, degrees_of_freedom: float) -> float:
    """Probability that a t variable is at most `x`; normal for infinite degrees of freedom.

    Raises:
        ValueError: If the degrees of freedom are not positive.
    """
    if degrees_of_freedom <= 0:
        raise ValueError(f"degrees of freedom are positive; got {degrees_of_freedom}")
    if math.isinf(degrees_of_freedom) or math.isinf(x):
        return normal_cdf(x)
    square = x * x
    total = degrees_of_freedom + square
    # Both x and 1 - x are handed over, so that neither tail is the difference of two nearly equal numbers.
    tail = 0.5 * _beta_cdf(degrees_of_freedom / total, square / total, 0.5 * degrees_of_freedom, 0.5)
    return tail if x < 0 else 1.0 - tail


@lru_cache(maxsize=4096)
def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """The `x` with `t_cdf(x, degrees_of_freedom) == probability`; infinite at 0 and 1."""
    if math.isinf(degrees_of_freedom) or probability in (0.0, 0.5, 1.0):
        return normal_quantile(probability)
    _require_probability(probability)
    if probability > 0.5:
        return -t_quantile(1.0 - probability, degrees_of_freedom)
    low = normal_quantile(probability)
    while t_cdf(low, degrees_of_freedom) > probability:
        low *= 2.0
    return _invert(lambda x: t_cdf(x, degrees_of_freedom) - probability, low, 0.0)


def binomial_pmf(successes: int, trials: int, probability: float) -> float:
    """Probability of exactly `successes` in `trials`."""
    if not 0 <= successes <= trials:
        return 0.0
    if probability in (0.0, 1.0):
        return 1.0 if successes == trials * probability else 0.0
    return _binomial_term(successes, trials - successes, probability, 1.0 - probability)


def binomial_cdf(successes: int, trials: int, probability: float) -> float:
    """Probability of at most `successes` in `trials`."""
    if successes < 0:
        return 0.0
    if successes >= trials:
        return 1.0
    return _beta_cdf(1.0 - probability, probability, trials - successes, successes + 1)


def _require_probability(probability: float) -> None:
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"a probability lies in [0, 1]; got {probability}")


def _beta_cdf(x: float, complement: float, a: float, b: float) -> float:
    """`beta_cdf` for callers that know 1 - x to full precision."""
    if x <= 0.0:
        return 0.0
    if complement <= 0.0:
        return 1.0
    front = _binomial_term(a, b, x, complement) / (a + b)
    # The fraction converges fast on this side of the mean only.
    if x < (a + 1.0) / (a + b + 2.0):
        return front * b * _beta_fraction(x, a, b)
    return 1.0 - front * a * _beta_fraction(complement, b, a)


def _beta_fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    result = d
    for m in range(1, _MOST_TERMS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + numerator * d
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = 1.0 + numerator / c
            c = c if abs(c) > _TINY else _TINY
            result *= d * c
        if abs(d * c - 1.0) < _SMALLEST_STEP:
            return result
    return result


def _binomial_term(a: float, b: float, x: float, complement: float) -> float:
    """(a + b)! / (a! b!) x^a complement^b for non-negative, not necessarily whole a and b."""
    n = a + b
    if a == 0.0:
        return math.exp(b * _log_of_complement(x, complement))
    if b == 0.0:
        return math.exp(a * _log_of_complement(complement, x))
    exponent = (
        _stirling_error(n)
        - _stirling_error(a)
        - _stirling_error(b)
        - _deviance(a, n * x)
        - _deviance(b, n * complement)
    )
    return math.exp(exponent - _HALF_LOG_TWO_PI) * math.sqrt(n / (a * b))


def _log_of_complement(x: float, complement: float) -> float:
    return math.log1p(-x) if x < 0.5 else math.log(complement)


def _stirling_error(n: float) -> float:
    """Log n! minus Stirling's approximation of it."""
    if n <= 15.0:
        return math.lgamma(n + 1.0) - (n + 0.5) * math.log(n) + n - _HALF_LOG_TWO_PI
    square = n * n
    series = 1 / 1260 - (1 / 1680 - (1 / 1188 - 691 / 360360 / square) / square) / square
    return (1 / 12 - (1 / 360 - series / square) / square) / n


def _deviance(x: float, expected: float) -> float:
    """X log(x / expected) + expected - x without cancellation where the two are close."""
    difference = x - expected
    if abs(difference) >= 0.1 * (x + expected):
        return x * math.log(x / expected) - difference
    ratio = difference / (x + expected)
    result, term = difference * ratio, 2.0 * x * ratio
    square = ratio * ratio
    for j in range(1, 1000):
        term *= square
        updated = result + term / (2 * j + 1)
        if updated == result:
            break
        result = updated
    return result


def _invert(function: Callable[[float], float], low: float, high: float) -> float:
    """Root of an increasing function between two points, to the last digit: bisection sped up by the secant."""
    at_low, at_high = function(low), function(high)
    for step in range(400):
        if step % 2:
            middle = 0.5 * (low + high)
        else:
            middle = high - at_high * (high - low) / (at_high - at_low) if at_high > at_low else 0.5 * (low + high)
            width = high - low
            # A little beyond the secant's point: then the other end moves as well, and the bracket collapses.
            middle += math.copysign(1e-3 * width, 0.5 * (low + high) - middle)
            middle = min(max(middle, low + 1e-6 * width), high - 1e-6 * width)
        if not low < middle < high:
            break
        value = function(middle)
        if value == 0.0:
            return middle
        if value < 0.0:
            low, at_low = middle, value
        else:
            high, at_high = middle, value
        if high - low <= 1e-15 * max(abs(low), abs(high)):
            break
    return 0.5 * (low + high)
