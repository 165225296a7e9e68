"""What a suite can see and prove, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slmcheck.gates.changes import compare
from slmcheck.gates.evidence import MetricInfo
from slmcheck.gates.score import Score
from slmcheck.gates.units import Units, count
from slmcheck.statistics import (
    examples_needed,
    joint_probability,
    provable_margin,
    release_probability,
    smallest_visible_drop,
    to_scale,
)

SAME_WEIGHTS = 0.005
"""Discordance of one model in another runtime."""
SAME_BASE = 0.10
"""Discordance of another seed, or a small change of the recipe."""
OTHER_BASE = 0.20
"""Discordance of another base model."""
LEAST_RELEASE_PROBABILITY = 0.50


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one comparison with a baseline can see; changes on the scale of the metric's changes."""

    metric: MetricInfo
    examples: int
    margin: float
    smallest_visible_drop: float
    """The true drop that fails with 80 % probability; never below the margin."""
    release_probability: float
    """Probability that an unchanged model is proven to be within the margin."""
    provable_margin: float
    """The margin within which an unchanged model is proven with 80 % probability."""
    examples_needed: int | None
    """Examples that the margin needs for that; None where no number suffices."""
    assumed: bool
    """Whether the discordance is a default rather than measured."""

    @property
    def sentence(self) -> str:
        """One line for the header of a session."""
        units = Units(self.metric)
        drop = units.sizes(self.smallest_visible_drop)[0] + units.unit
        share = f"{100.0 * self.release_probability:.0f} %"
        return (
            f"{self.metric.name}: smallest drop visible at 80 % power {drop} (n={self.examples:,}); "
            f"an unchanged model is released with probability {share}"
        )

    @property
    def advice(self) -> str:
        """What would make an unlikely release likely; empty where it is."""
        if self.release_probability >= 0.8:
            return ""
        units = Units(self.metric)
        provable = units.sizes(self.provable_margin)[0] + units.unit
        rows = (
            f"a margin of {units.with_unit(self.margin)} needs about {count(self.examples_needed)} rows"
            if self.examples_needed is not None
            else f"no number of rows proves a margin of {units.with_unit(self.margin)}: take more seeds or a wider one"
        )
        return f"{self.metric.name}: these {self.examples:,} rows can prove a margin of {provable}; {rows}"


def plan(
    metric: MetricInfo,
    examples: int,
    *,
    margin: float | None = None,
    example_variance: float | None = None,
    seed_sd: float | None = None,
    seeds: int = 1,
    baseline_seeds: int = 1,
    same_training: bool = False,
    alpha: float = 0.05,
) -> Plan | None:
    """Plan the comparison of a new run with a baseline.

    Args:
        metric: The metric that is compared.
        examples: Rows of the evaluation split.
        margin: On the scale of changes; None takes the metric's own.
        example_variance: Variance of one example's change; for a rate the discordance. None takes the discordance of
            another seed of one recipe for shares; what was measured once (`variance_of_change`) is better.
        seed_sd: Standard deviation between seeds; None takes the metric's declared one, 0 where there is none.
        seeds: Seeds of the new run.
        baseline_seeds: Seeds of the baseline.
        same_training: Whether one training stands behind both scores, as for exports.
        alpha: One-sided level of the session.

    Returns:
        None where the metric is no share and nobody measured the variance yet.
    """
    variance = example_variance
    if variance is None:
        if metric.unit != "share":
            return None
        variance = SAME_WEIGHTS if same_training else SAME_BASE
    sd = seed_sd if seed_sd is not None else metric.seed_sd or 0.0
    seed_variance = 0.0 if same_training else sd * sd * (1.0 / seeds + 1.0 / baseline_seeds)
    allowed = _margin_on_scale(metric) if margin is None else margin
    return Plan(
        metric=metric,
        examples=examples,
        margin=allowed,
        smallest_visible_drop=smallest_visible_drop(
            variance, examples, seed_variance=seed_variance, margin=allowed, alpha=alpha
        ),
        release_probability=release_probability(variance, examples, allowed, seed_variance=seed_variance, alpha=alpha),
        provable_margin=provable_margin(variance, examples, seed_variance=seed_variance, alpha=alpha),
        examples_needed=examples_needed(variance, allowed, seed_variance=seed_variance, alpha=alpha),
        assumed=example_variance is None,
    )


def plan_release(plans: Sequence[Plan]) -> float:
    """Probability that an unchanged model is released by all primary gates together.

    Their errors are taken to be correlated by 0.5: metrics of one model on the same rows.
    """
    return joint_probability([item.release_probability for item in plans])


def variance_of_change(new: Score, old: Score) -> float:
    """Variance of one example's change between two scores, for planning; the discordance for a rate.

    Raises:
        ComparisonError: If the scores cannot be compared.
    """
    return compare(new.measurement, old.measurement, alpha=0.05).example_variance


def _margin_on_scale(metric: MetricInfo) -> float:
    if metric.change_scale != "log" or metric.margin_kind != "relative":
        return metric.margin
    return float(abs(to_scale(np.asarray(1.0 - metric.sign * metric.margin), "log")))
