"""Means and their differences with 95 % intervals, as findings show them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from slmcheck.diagnosis.thresholds import QUANTILE
from slmcheck.records import EvidenceNumber
from slmcheck.statistics import newcombe, t_quantile, wilson

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def number(self, name: str, unit: str = "share") -> EvidenceNumber:
        """The number as a finding carries it."""
        return EvidenceNumber(name=name, value=self.value, low=self.low, high=self.high, unit=unit)

    @property
    def one_sided_low(self) -> float:
        """Lower bound of one-sided 95 %: nearer to the value than that of the interval by 1.645 / 1.96."""
        return self.value - (self.value - self.low) * 1.6448536269514722 / QUANTILE


def mean_of(values: Floats) -> Estimate:
    """The mean of one value an example: Wilson's interval for right and wrong, else Student's.

    Args:
        values: Shape (examples,), at least one.
    """
    count, mean = len(values), float(np.mean(values))
    if np.isin(values, (0.0, 1.0)).all():
        low, high = wilson(values.sum(), count, QUANTILE)
        return Estimate(mean, float(low), float(high))
    half = _half(values)
    return Estimate(mean, mean - half, mean + half)


def difference(first: Floats, second: Floats) -> Estimate:
    """Mean of `first` minus mean of `second`, of different examples."""
    one, other = mean_of(first), mean_of(second)
    low, high = newcombe(one.value, (one.low, one.high), other.value, (other.low, other.high))
    return Estimate(one.value - other.value, low, high)


def paired(first: Floats, second: Floats) -> Estimate:
    """Mean of `first` minus mean of `second`, example by example; both of one shape."""
    changes = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    mean, half = float(changes.mean()), _half(changes)
    return Estimate(mean, mean - half, mean + half)


def _half(values: Floats) -> float:
    count = len(values)
    if count < 2:
        return math.inf
    return t_quantile(0.975, count - 1) * float(np.std(values, ddof=1)) / math.sqrt(count)


def points(estimate: Estimate, unit: str, *, signed: bool = True) -> str:
    """A difference as people read it: in points for a share."""
    sign = "+" if signed else ""
    scale, form, word = (100.0, ".1f", "points") if unit == "share" else (1.0, ".3g", unit)
    value, low, high = (format(scale * one, sign + form) for one in (estimate.value, estimate.low, estimate.high))
    return f"{value} {word} (95 % interval {low} to {high})"


def level(estimate: Estimate, unit: str) -> str:
    """A value as people read it."""
    form, word = (".1%", "") if unit == "share" else (".3g", f" {unit}")
    value, low, high = (format(one, form) for one in (estimate.value, estimate.low, estimate.high))
    return f"{value}{word} (95 % interval {low} to {high})"
