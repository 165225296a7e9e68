"""What a number of examples can show, before anything is trained.

`variance` is that of one example's change: for 0/1 scores about the discordance, the share of examples whose
correctness differs between the two models. `seed_variance` is sigma^2 (1 / k_new + 1 / k_old).
"""

from __future__ import annotations

import math

from slmcheck.statistics.distributions import normal_cdf, normal_quantile

ALPHA = 0.05
POWER = 0.80
_STEPS = 400
_REACH = 8.0


def standard_error_of_change(variance: float, examples: float, seed_variance: float = 0.0) -> float:
    """Standard error of a paired change."""
    return math.sqrt(variance / examples + seed_variance)


def smallest_visible_drop(
    variance: float,
    examples: float,
    *,
    seed_variance: float = 0.0,
    margin: float = 0.0,
    alpha: float = ALPHA,
    power: float = POWER,
) -> float:
    """The true drop that fails with probability `power`: 2.49 standard errors by default, at least the margin."""
    error = standard_error_of_change(variance, examples, seed_variance)
    return max((normal_quantile(1.0 - alpha) + normal_quantile(power)) * error, margin)


def provable_margin(
    variance: float, examples: float, *, seed_variance: float = 0.0, alpha: float = ALPHA, power: float = POWER
) -> float:
    """The smallest margin within which an unchanged model is proven with probability `power`."""
    return smallest_visible_drop(variance, examples, seed_variance=seed_variance, alpha=alpha, power=power)


def release_probability(
    variance: float, examples: float, margin: float, *, seed_variance: float = 0.0, alpha: float = ALPHA
) -> float:
    """Probability that an unchanged model is proven to be no more than `margin` worse."""
    error = standard_error_of_change(variance, examples, seed_variance)
    if error == 0.0:
        return 1.0
    return normal_cdf(margin / error - normal_quantile(1.0 - alpha))


def examples_needed(
    variance: float, margin: float, *, seed_variance: float = 0.0, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """Examples with which an unchanged model is proven within `margin` with probability `power`.

    Returns:
        None where no number of examples suffices, because the seeds alone vary too much or the margin is 0, or where
        the variance is not known.
    """
    reach = margin / (normal_quantile(1.0 - alpha) + normal_quantile(power))
    left = reach * reach - seed_variance
    if margin <= 0.0 or left <= 0.0 or math.isinf(variance):
        return None
    return math.ceil(variance / left)


def examples_to_see(drop: float, discordance: float, *, alpha: float = ALPHA, power: float = POWER) -> int:
    """Paired examples with which a true drop of a rate is found significant.

    Source: Card et al. 2020, 2010.06595, after Connett, Smith and McHugh 1987.
    """
    reach = normal_quantile(1.0 - alpha) * math.sqrt(discordance)
    reach += normal_quantile(power) * math.sqrt(discordance - drop * drop)
    return math.ceil((reach / drop) ** 2)


def examples_to_see_unpaired(drop: float, rate: float, *, alpha: float = ALPHA, power: float = POWER) -> int:
    """Examples of each of two separate samples with which a true drop from `rate` is found significant.

    Source: Fleiss 1981, 3.2.
    """
    lower = rate - drop
    middle = 0.5 * (rate + lower)
    reach = normal_quantile(1.0 - alpha) * math.sqrt(2.0 * middle * (1.0 - middle))
    reach += normal_quantile(power) * math.sqrt(rate * (1.0 - rate) + lower * (1.0 - lower))
    return math.ceil((reach / drop) ** 2)


def level_probability(expected: float, threshold: float, examples: int, *, confidence: float = 0.95) -> float:
    """Probability that a rate of `expected` is proven, by Wilson's lower bound, to be at least `threshold`."""
    z = normal_quantile(0.5 + 0.5 * confidence)
    # Wilson's lower bound clears the threshold when the observed rate lies z standard errors, taken there, above it.
    needed = threshold + z * math.sqrt(threshold * (1.0 - threshold) / examples)
    spread = math.sqrt(expected * (1.0 - expected) / examples)
    if spread == 0.0:
        return 1.0 if expected >= needed else 0.0
    return normal_cdf((expected - needed) / spread)


def joint_probability(probabilities: list[float], correlation: float = 0.5) -> float:
    """Probability that all of several gates pass when their errors share one factor.

    Args:
        probabilities: Of each gate alone.
        correlation: Between the errors of any two gates, in [0, 1). Metrics of one model on the same examples are
            clearly correlated; 0.5 is an assumption, not a measurement.

    Source: one-factor normal copula, integrated by the trapezoid rule.
    """
    if any(probability <= 0.0 for probability in probabilities):
        return 0.0
    limits = [normal_quantile(probability) for probability in probabilities]
    step = 2.0 * _REACH / _STEPS
    total = 0.0
    for index in range(_STEPS + 1):
        factor = -_REACH + index * step
        weight = math.exp(-0.5 * factor * factor) / math.sqrt(2.0 * math.pi) * step
        product = 1.0
        for limit in limits:
            product *= normal_cdf((limit - math.sqrt(correlation) * factor) / math.sqrt(1.0 - correlation))
        total += weight * product
    return min(total, 1.0)
