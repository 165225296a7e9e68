"""Numbers as a reader wants them: a share as 0.846, its changes in points, a perplexity as it is."""

from __future__ import annotations

import math

from slmcheck.reports.text import counted

ABSENT = "–"
MINUS = "−"


def value(number: float, unit: str) -> str:
    """A score: 0.846 for a share, 31.2 for points, 12.4 for a perplexity, 9.1 MB for bytes."""
    if not math.isfinite(number):
        return _signed_infinity(number)
    if unit == "share":
        return _minus(f"{number:.3f}")
    if unit == "points":
        return _minus(f"{number:.1f}")
    if unit == "count":
        return _minus(f"{number:,.0f}")
    if unit == "bytes":
        return size(number)
    if unit == "milliseconds":
        return _minus(f"{_significant(number, 3)} ms")
    return _minus(_significant(number, 4))


def change(number: float, unit: str, *, with_unit: bool = True) -> str:
    """A difference of scores with its sign: −5.2 points for shares and points, +0.32 for anything else."""
    if not math.isfinite(number):
        return _signed_infinity(number)
    scaled = in_points(number, unit)
    if scaled is not None:
        text = _signed(f"{scaled:+.1f}")
        return f"{text} points" if with_unit else text
    if unit in ("bytes", "count", "milliseconds"):
        return value(number, unit) if number <= 0 else f"+{value(number, unit)}"
    return _signed(f"{number:+.3f}" if 0.0005 <= abs(number) < 10 or number == 0 else f"{number:+.3g}")


def distance(number: float, unit: str) -> str:
    """A margin or a tolerance, without sign: `1 point`, `0.5 points`, `0.24`."""
    scaled = in_points(abs(number), unit)
    if scaled is None:
        text = value(abs(number), unit)
        return text.rstrip("0").rstrip(".") if "." in text and unit not in ("bytes", "milliseconds") else text
    text = f"{scaled:.2f}".rstrip("0").rstrip(".")
    return f"{text} {'point' if text == '1' else 'points'}"


def interval(low: float | None, high: float | None, unit: str) -> str:
    """The ends of an interval of scores: `0.861 .. 0.916`; a dash where there is none."""
    if low is None and high is None:
        return ABSENT
    return f"{_end(low, unit, '−∞')} .. {_end(high, unit, '∞')}"


def change_interval(low: float | None, high: float | None, unit: str, *, with_unit: bool = True) -> str:
    """The ends of an interval of changes: `−7.8 .. −2.8 points`; a dash where there is none."""
    if low is None and high is None:
        return ABSENT
    ends = [other if end is None else change(end, unit, with_unit=False) for end, other in ((low, "−∞"), (high, "∞"))]
    suffix = " points" if with_unit and unit in ("share", "points") else ""
    return f"{ends[0]} .. {ends[1]}{suffix}"


def in_points(number: float, unit: str) -> float | None:
    """A difference in points, or None where the unit has none."""
    if unit == "share":
        return number * 100
    return number if unit == "points" else None


def size(number: float) -> str:
    """Bytes in the largest decimal unit that leaves a number above 1: `9.1 MB`."""
    for factor, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(number) >= factor:
            return _minus(f"{number / factor:.1f} {name}")
    return counted(round(number), "byte")


def duration(seconds: float) -> str:
    """Seconds in words: `48 s`, `12 min 05 s`, `3 h 20 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _significant(number: float, digits: int) -> str:
    """At most three decimals, so that no score pretends to a precision it has not; tiny numbers by their exponent."""
    if number == 0:
        return "0"
    if abs(number) < 5e-4:
        return f"{number:.1e}"
    decimals = digits - 1 - math.floor(math.log10(abs(number)))
    return f"{number:,.{min(max(decimals, 0), 3)}f}"


def _signed(text: str) -> str:
    return text[1:] if text.strip("+-0.") == "" else _minus(text)


def _end(number: float | None, unit: str, absent: str) -> str:
    return absent if number is None else value(number, unit)


def _minus(text: str) -> str:
    return text.replace("-", MINUS)


def _signed_infinity(number: float) -> str:
    return "undefined" if math.isnan(number) else ("∞" if number > 0 else "−∞")
