"""Where an export departs from its model, in words and as bars over the layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from slmcheck.records import Location, ModuleError
from slmcheck.reports.text import one_line

BARS = "▁▂▃▄▅▆▇█"
LOWEST, HIGHEST = 1e-8, 1.0
"""Errors at the two ends of the bars; the scale is logarithmic."""
NO_NUMBER = "!"
SHOWN_PLACES = 6
MOST_LAYERS = 60
"""Layers drawn; of a deeper model several share a bar."""


def location_text(found: Location) -> str:
    """The sentence, the bars, the evidence, and the places or exclusions behind it."""
    parts = [one_line(found.sentence), *bars(found), *(f"  {one_line(line)}" for line in found.evidence)]
    parts += _places(found)
    parts += _exclusions(found)
    return "\n".join(parts)


def bars(found: Location) -> list[str]:
    """Isolated and running error over the layers, a column each; empty where nothing was isolated."""
    columns = layer_errors(found.errors)
    if not columns:
        return []
    names = [name for name, _, _, _ in columns]
    width = max(len(name) for name in names)
    lines = [f"  {'':<9} {' '.join(f'{name:>{width}}' for name in names)}"]
    for word, place in (("isolated", 1), ("running", 2)):
        cells = [_bar(column[place]) for column in columns]  # type: ignore[arg-type]
        lines.append(f"  {word:<9} {' '.join(f'{cell:>{width}}' for cell in cells)}")
    if any(column[3] for column in columns):
        lines.append(f"  {'':<9} {' '.join(('^' if column[3] else '').rjust(width) for column in columns)}".rstrip())
    lines.append(f"  bars: {LOWEST:.0e} to {HIGHEST:.0g}, logarithmic; ^ beyond rounding; running: as the graph runs")
    return lines


def layer_errors(errors: Sequence[ModuleError]) -> list[tuple[str, float | None, float | None, bool]]:
    """For each layer, and for what stands before and behind the layers: name, largest errors, whether it is guilty."""
    groups: dict[str, list[ModuleError]] = {}
    layers = [one.layer for one in errors if one.layer is not None]
    step = max(1, math.ceil((max(layers, default=0) + 1) / MOST_LAYERS))
    for one in errors:
        before = not layers or not any(known.startswith("L") for known in groups)
        name = ("in" if before else "out") if one.layer is None else f"L{one.layer // step * step}"
        groups.setdefault(name, []).append(one)
    return [
        (name, _largest([one.isolated for one in members]), _largest([one.cumulative for one in members]),
         any(one.guilty for one in members))
        for name, members in groups.items()
    ]  # fmt: skip


def error_word(value: float | None) -> str:
    """An error as a number of two digits."""
    return "no number" if value is None else f"{value:.2g}"


def _largest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _bar(value: float | None) -> str:
    if value is None:
        return NO_NUMBER
    share = math.log(max(value, LOWEST) / LOWEST) / math.log(HIGHEST / LOWEST)
    return BARS[min(int(share * len(BARS)), len(BARS) - 1)]


def _places(found: Location) -> list[str]:
    shown = [one for one in found.errors if one.guilty][:SHOWN_PLACES]
    if found.outcome in ("ranked", "spread") and not shown:
        shown = sorted(found.errors, key=lambda one: -(one.isolated or 0.0))[:SHOWN_PLACES]
    if not shown:
        return []
    width = max(len(one.module) for one in shown)
    head = "  places of the largest isolated error"
    return [
        "",
        head,
        *(f"    {one.module:<{width}}  {error_word(one.isolated):>9}  {one.at}".rstrip() for one in shown),
    ]


def _exclusions(found: Location) -> list[str]:
    if found.kl is None or not found.exclusions:
        return []
    lines = ["", f"  divergence with modules left out of the quantisation (all quantised: {found.kl:.2g} nats a token)"]
    for one in found.exclusions:
        control = " (control: the smallest isolated errors)" if one.is_control else ""
        lines.append(f"    {one.kl:<9.2g} {', '.join(one.modules)}{control}")
    return lines
