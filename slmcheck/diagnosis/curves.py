"""What a loss curve says: where it turned, whether it still fell, whether it exploded. Numbers only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from slmcheck.diagnosis.row_history import SplitHistory
from slmcheck.records import HistoryPoint
from slmcheck.statistics import normal_cdf

Floats: TypeAlias = NDArray[np.float64]

EXACT_TREND = 8
BLOCKS = 12
"""Parts of a training over which its running loss is averaged."""
LEAST_POINTS = 6


@dataclass(frozen=True)
class Turn:
    """The divergence point of a validation loss."""

    step: int
    """Where it was lowest, single blips taken out."""
    lowest: float
    """Loss there."""
    last: float
    """Loss at the end."""
    rise: float
    """Rise from there to the end, as a share of the lowest."""
    z: float | None
    """Rise in standard errors, row by row; None without a record of rows."""
    trend_p: float
    """One-sided p of no rising trend after it (Mann-Kendall); 1 where there are too few points."""


def validation_points(history: Sequence[HistoryPoint]) -> list[tuple[int, float]]:
    """Steps and losses of the evaluations."""
    return [(point.step, point.validation_loss) for point in history if point.validation_loss is not None]


def turn_of(history: Sequence[HistoryPoint], rows: SplitHistory | None) -> Turn | None:
    """The divergence point; None where there are fewer than three evaluations after the base model's."""
    points = [(step, loss) for step, loss in validation_points(history) if step > 0]
    if len(points) < 3:
        return None
    steps, losses = [step for step, _ in points], np.array([loss for _, loss in points])
    smooth = _medians(losses)
    at = int(np.argmin(smooth))
    lowest, last = float(smooth[at]), float(losses[-1])
    return Turn(
        step=steps[at],
        lowest=lowest,
        last=last,
        rise=(last - lowest) / max(lowest, 1e-9),
        z=None if rows is None else _paired_z(rows, steps[at], steps[-1]),
        trend_p=mann_kendall(losses[at:]),
    )


def _medians(values: Floats) -> Floats:
    """Running median of three, ends with their only neighbour as they are."""
    if len(values) < 3:
        return values
    inner = np.median(np.stack([values[:-2], values[1:-1], values[2:]]), axis=0)
    return np.concatenate([values[:1], inner, values[-1:]])


def _paired_z(rows: SplitHistory, first: int, last: int) -> float | None:
    """Rise of the loss between two evaluations in standard errors, row by row."""
    one, other = rows.line_at(first), rows.line_at(last)
    if one is None or other is None or len(rows.ids) < 3:
        return None
    change = (rows.nll[other] - rows.nll[one]) / np.maximum(rows.tokens, 1.0)
    change = change[np.isfinite(change)]
    error = float(np.std(change, ddof=1)) / math.sqrt(len(change)) if len(change) > 2 else 0.0
    return float(change.mean()) / error if error > 0 else None


def mann_kendall(values: Sequence[float] | Floats) -> float:
    """One-sided p of the hypothesis of no rising trend; exact up to eight values.

    Source: Mann 1945, Kendall 1975.
    """
    series = np.asarray(values, dtype=np.float64)
    count = len(series)
    if count < 4:
        return 1.0
    score = int(sum(np.sign(series[later] - series[earlier]) for earlier, later in combinations(range(count), 2)))
    if count <= EXACT_TREND:
        ways = _kendall_ways(count)
        pairs = count * (count - 1) // 2
        return sum(ways[(score + pairs + 1) // 2 :]) / math.factorial(count)
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return 1.0 - normal_cdf((score - 1) / deviation) if score > 0 else 1.0


def _kendall_ways(count: int) -> list[int]:
    """Number of orders of `count` values by their number of concordant pairs."""
    ways = [1]
    for size in range(2, count + 1):
        longer = [0] * (len(ways) + size - 1)
        for place, number in enumerate(ways):
            for shift in range(size):
                longer[place + shift] += number
        ways = longer
    return ways


@dataclass(frozen=True)
class Descent:
    """How the training loss went down."""

    first: float
    """Before the first update where that was measured, else of the first updates."""
    last: float
    """Mean of the last part."""
    peak: float
    """Largest mean of a part."""
    peak_step: int
    drop: float
    """Share of the first loss that the training took off."""
    momentum: float | None
    """Loss drop per summed learning rate, middle third over first third; None where it cannot be told."""
    updates: int


def descent_of(history: Sequence[HistoryPoint]) -> Descent | None:
    """The descent of the running training loss; None where it was hardly recorded."""
    points = [point for point in history if point.train_loss is not None and point.step > 0]
    if len(points) < LEAST_POINTS:
        return None
    losses = np.array([point.train_loss for point in points], dtype=np.float64)
    steps = np.array([point.step for point in points])
    parts = np.array_split(np.arange(len(points)), min(BLOCKS, len(points) // 2))
    means = np.array([losses[part].mean() for part in parts])
    before = [point.train_subset_loss or point.validation_loss for point in history if point.step == 0]
    first = next((loss for loss in before if loss is not None), float(means[0]))
    peak = int(np.argmax(means))
    return Descent(
        first=first,
        last=float(means[-1]),
        peak=float(means[peak]),
        peak_step=int(steps[parts[peak][0]]),
        drop=(first - float(means[-1])) / max(abs(first), 1e-9),
        momentum=_momentum(points, losses, first),
        updates=int(steps[-1]),
    )


def _momentum(points: Sequence[HistoryPoint], losses: Floats, first: float) -> float | None:
    """With a learning rate that decays the tail is flat by construction: so by summed learning rate, without it."""
    rates = np.array([point.learning_rate or 0.0 for point in points])
    third = len(points) // 3
    if third < 2 or rates[:third].sum() <= 0 or rates[third : 2 * third].sum() <= 0:
        return None
    width = max(1, third // 3)
    ends = [losses[max(0, at - width) : at + width].mean() for at in (third, 2 * third)]
    early = (max(first, float(losses[:width].mean())) - ends[0]) / rates[:third].sum()
    middle = (ends[0] - ends[1]) / rates[third : 2 * third].sum()
    return float(middle / early) if early > 0 else None


def gradient_ratio(history: Sequence[HistoryPoint]) -> float | None:
    """The largest gradient norm over the median one; None where norms were hardly recorded."""
    norms = [point.gradient_norm for point in history if point.gradient_norm is not None]
    if len(norms) < LEAST_POINTS:
        return None
    middle = float(np.median(norms))
    return max(norms) / middle if middle > 0 else None


def is_flat(history: Sequence[HistoryPoint]) -> bool:
    """Whether the loss stood still over its last third: Theil-Sen slope times length below 1 % of the whole drop."""
    points = [(point.step, point.train_loss) for point in history if point.train_loss is not None and point.step > 0]
    if len(points) < 2 * LEAST_POINTS:
        return False
    tail = points[-(len(points) // 3) :]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(tail, 2) if b[0] != a[0]]
    whole = points[0][1] - min(loss for _, loss in points)
    return abs(float(np.median(slopes))) * (tail[-1][0] - tail[0][0]) < 0.01 * max(whole, 1e-9)
