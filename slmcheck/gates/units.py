"""Scores, changes and margins as a reader sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from slmcheck.gates.evidence import MetricInfo

_MOST_DECIMALS = 6
_WORDS = {"nats": " nats", "bits": " bits", "bytes": " bytes", "milliseconds": " ms"}


@dataclass(frozen=True)
class Units:
    """Formats the numbers of one metric; changes are given on the scale of changes."""

    metric: MetricInfo

    @property
    def _is_share(self) -> bool:
        return self.metric.unit == "share"

    @property
    def _is_log(self) -> bool:
        return self.metric.change_scale == "log"

    @property
    def _word(self) -> str:
        if self._is_log:
            return " %"
        if self.metric.unit in ("share", "points"):
            return " points"
        return _WORDS.get(self.metric.unit, "")

    def values(self, *values: float) -> list[str]:
        """Scores with the decimals of the metric, more where unequal ones would look equal."""
        return _distinct(values, 3 if self._is_share else _decimals(values, self.metric.unit), plus="")

    def changes(self, *changes: float) -> list[str]:
        """Changes with their sign, without the unit."""
        return _distinct([self._shown(change) for change in changes], self._change_decimals(changes), plus="+")

    def sizes(self, *sizes: float) -> list[str]:
        """Sizes of changes, without sign and unit."""
        return _distinct([self._shown(size) for size in sizes], self._change_decimals(sizes), plus="")

    def with_unit(self, size: float, digits: int = 4) -> str:
        """A size such as a margin, as short as it can be: `1 point`, `0.5 points`, `2 %`."""
        text = f"{self._shown(size):.{digits}g}"
        return f"{text} point" if self._word == " points" and text == "1" else text + self._word

    @property
    def unit(self) -> str:
        """The word after a change, with its space."""
        return self._word

    def _shown(self, change: float) -> float:
        if self._is_log:
            return 100.0 * math.expm1(change)
        return 100.0 * change if self._is_share else change

    def _change_decimals(self, changes: tuple[float, ...]) -> int:
        if self._is_log or self.metric.unit in ("share", "points"):
            return 1
        return _decimals(changes, self.metric.unit)


def _decimals(values: tuple[float, ...], unit: str) -> int:
    """Four significant digits of the largest value; whole numbers for counts of things."""
    if unit in ("count", "bytes"):
        return 0
    if unit == "points":
        return 2
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest == 0.0:
        return 3
    return min(max(3 - math.floor(math.log10(largest)), 0), _MOST_DECIMALS)


def _distinct(values: tuple[float, ...] | list[float], decimals: int, plus: str) -> list[str]:
    """All values with so many decimals that unequal ones differ as text; minus zero is zero."""
    shown: list[str] = []
    for places in range(decimals, _MOST_DECIMALS + 1):
        shown = [_signed(value, places, plus) for value in values]
        if len(set(shown)) == len({round(value, _MOST_DECIMALS) for value in values}):
            break
    return shown


def _signed(value: float, places: int, plus: str) -> str:
    rounded = round(value, places)
    return f"{rounded + 0.0:{plus if rounded != 0.0 else ''},.{places}f}"


def count(number: float) -> str:
    """A number of examples, to two leading digits where it is an estimate: `6,200`."""
    digits = max(0, math.floor(math.log10(max(number, 1))) - 1)
    return f"{math.ceil(number / 10**digits) * 10**digits:,}"


def percent(confidence: float) -> str:
    """A confidence as `95 %`."""
    return f"{100.0 * confidence:.4g} %"
