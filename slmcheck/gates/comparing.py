"""From what a user wrote to a claim: which score is claimed to be good, and against what.

A side of a comparison is a score moved by a factor and an offset. Both sides are brought to the same form, the score
that is claimed to be good against the other one, moved; so `b.f1 - 0.01 <= a.f1` and `a.f1 - b.f1 >= -0.01` are the
same claim as `a.f1 >= b.f1 - 0.01`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from slmcheck.errors import ComparisonError, MixedScoresError
from slmcheck.gates.claims import MIRRORED, ChangeClaim, LevelClaim, Operator
from slmcheck.gates.evidence import Measurement, MetricInfo
from slmcheck.gates.judge import judge_change, judge_level
from slmcheck.gates.policy import active_policy
from slmcheck.gates.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Side:
    """A score as it stands in a comparison: `factor * score + offset`."""

    measurement: Measurement
    text: str
    factor: float = 1.0
    offset: float = 0.0

    @property
    def value(self) -> float:
        """The number that the side stands for."""
        return self.factor * self.measurement.value + self.offset

    def moved(self, text: str, *, factor: float = 1.0, offset: float = 0.0) -> Side:
        """The side times a factor plus an offset.

        Raises:
            ComparisonError: If the factor is 0, which leaves nothing to judge, or a number is not finite.
        """
        if factor == 0.0 or not (math.isfinite(factor) and math.isfinite(offset)):
            raise ComparisonError(f"{text} has no evidence left: a score is moved by finite numbers and not times 0.")
        return Side(
            measurement=self.measurement,
            text=text,
            factor=self.factor * factor,
            offset=self.offset * factor + offset,
        )


def require_same_metric(left: Measurement, right: Measurement, verb: str) -> None:
    """Refuse two metrics in one expression.

    Raises:
        MixedScoresError: With a sentence that names both.
    """
    if left.metric.name != right.metric.name:
        raise MixedScoresError(
            f"{left.label} and {right.label} cannot be {verb}: {left.metric.name} and {right.metric.name} are "
            "different metrics. Take float() of both if you mean the bare numbers."
        )


def level_verdict(side: Side, operator: Operator, number: float, text: str, confidence: float | None = None) -> Verdict:
    """Judge a side against a number.

    Raises:
        ComparisonError: If the bound is in the wrong direction for the metric, or is not a number.
    """
    if math.isnan(number):
        raise ComparisonError(f"{text}: the bound is not a number.")
    if confidence is not None and not 0.0 < confidence < 1.0:
        raise ComparisonError(f"{text}: a confidence lies between 0 and 1, for example 0.95.")
    # The common case stays free of arithmetic, so that 0.9 is the very 0.9 that was written.
    threshold = number if (side.factor, side.offset) == (1.0, 0.0) else (number - side.offset) / side.factor
    direction = operator if side.factor > 0.0 else MIRRORED[operator]
    metric = side.measurement.metric
    if not _is_good(metric, direction):
        raise _wrong_direction(side.measurement, direction, text)
    claim = LevelClaim(
        text=text,
        new=side.measurement,
        threshold=threshold,
        strict=direction in (">", "<"),
        confidence=confidence,
    )
    return judge_level(claim, active_policy())


def change_verdict(
    left: Side,
    operator: Operator,
    right: Side,
    text: str,
    *,
    alpha: float | None = None,
    confidence: float | None = None,
) -> Verdict:
    """Judge a side against another one of the same metric.

    Raises:
        MixedScoresError: If the metrics differ, or the sides have factors of opposite sign.
        ComparisonError: If a baseline is claimed to be better than a run, or alpha and confidence exclude each other.
    """
    require_same_metric(left.measurement, right.measurement, "compared")
    if left.factor * right.factor <= 0.0:
        raise MixedScoresError(f"{text}: one score grows while the other falls, so they cannot be compared.")
    direction = operator if left.factor > 0.0 else MIRRORED[operator]
    if not _is_good(left.measurement.metric, direction):
        left, right, direction = right, left, MIRRORED[direction]
    if left.measurement.source.is_baseline and not right.measurement.source.is_baseline:
        raise _wrong_direction(right.measurement, MIRRORED[direction], text)
    claim = ChangeClaim(
        text=text,
        new=left.measurement,
        old=right.measurement,
        factor=right.factor / left.factor,
        offset=(right.offset - left.offset) / left.factor,
        strict=direction in (">", "<"),
        alpha=_alpha(alpha, confidence, text),
        must_prove=confidence is not None,
    )
    return judge_change(claim, active_policy())


def equivalence_verdict(
    left: Measurement,
    right: Measurement,
    within: float,
    text: str,
    *,
    alpha: float | None = None,
    confidence: float | None = None,
) -> Verdict:
    """Judge that two scores of one metric are no further apart than `within`, on the scale of changes.

    Raises:
        MixedScoresError: If the metrics differ.
    """
    require_same_metric(left, right, "compared")
    claim = ChangeClaim(
        text=text,
        new=right if left.source.is_baseline else left,
        old=left if left.source.is_baseline else right,
        equivalent_within=within,
        alpha=_alpha(alpha, confidence, text),
        must_prove=confidence is not None,
    )
    return judge_change(claim, active_policy())


def good_operator(metric: MetricInfo) -> Operator:
    """The operator of a claim that a score of this metric is good enough."""
    return ">=" if metric.higher_is_better else "<="


def _is_good(metric: MetricInfo, operator: Operator) -> bool:
    return (operator in (">=", ">")) == metric.higher_is_better


def _alpha(alpha: float | None, confidence: float | None, text: str) -> float | None:
    """One-sided level; a two-sided interval of 90 % has 5 % on each side."""
    if alpha is not None and confidence is not None:
        raise ComparisonError(f"{text}: give alpha or confidence, not both.")
    level = 0.5 * (1.0 - confidence) if confidence is not None else alpha
    if level is not None and not 0.0 < level < 0.5:
        raise ComparisonError(f"{text}: alpha lies between 0 and 0.5, a confidence between 0 and 1.")
    return level


def _wrong_direction(measurement: Measurement, operator: Operator, text: str) -> ComparisonError:
    better = "higher" if measurement.metric.higher_is_better else "lower"
    return ComparisonError(
        f"{text} asks for a worse score: {measurement.metric.name} is better when {better}.\n"
        f"A gate on it is written with {good_operator(measurement.metric)}, not with {operator}.\n"
        "For a bound on the bare number write float(...) around the score."
    )
