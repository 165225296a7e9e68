"""What a training took over time: speed, processor, memory.

A leaf module: altair is imported at its top, and only the page, when it is made, reaches it.
"""

from __future__ import annotations

import altair as alt

from slmcheck.records import RunReport, UsagePoint
from slmcheck.reports import units
from slmcheck.reports.charts.figure import Figure, Table, specification
from slmcheck.reports.charts.marks import Row, chart_of
from slmcheck.reports.page.palette import ACCENT

LEAST_POINTS = 4
"""Fewer show no course."""
_MEGABYTE = 2**20


def usage_over_time(run: RunReport, name: str) -> list[Figure]:
    """Tokens a second, busy cores and memory by time; none for a training of a few seconds."""
    if len(run.usage) < LEAST_POINTS:
        return []
    measures = {
        "tokens/s": [point.tokens_per_second for point in run.usage],
        "busy cores": [point.cpu_cores for point in run.usage],
        "memory, MiB": [_megabytes(point.resident_bytes) for point in run.usage],
        "GPU busy, %": [None if point.gpu_utilisation is None else 100 * point.gpu_utilisation for point in run.usage],
        "GPU memory, MiB": [_megabytes(point.gpu_bytes) for point in run.usage],
    }
    known = {word: values for word, values in measures.items() if any(value is not None for value in values)}
    panels = [_panel(word, values, run.usage, is_last=word == list(known)[-1]) for word, values in known.items()]
    return [
        Figure(
            name=f"{name}-usage",
            title="Speed and resources",
            message=_message(run),
            spec=specification(alt.vconcat(*panels, spacing=6)),
            tables=(_table(run.usage, list(known), list(known.values())),),
        )
    ]


def _panel(word: str, values: list[float | None], usage: tuple[UsagePoint, ...], *, is_last: bool) -> alt.Chart:
    rows: list[Row] = [
        {"seconds": point.seconds, "value": value}
        for point, value in zip(usage, values, strict=True)
        if value is not None
    ]
    time = alt.X(
        "seconds:Q",
        title="seconds" if is_last else None,
        axis=alt.Axis(grid=False, tickCount=5, labels=is_last, ticks=is_last, labelOverlap="greedy"),
    )
    height = alt.Y("value:Q", title=word, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=3))
    line = chart_of(rows).mark_line(strokeWidth=2, color=ACCENT.light)
    return line.encode(x=time, y=height).properties(height=64)


def _message(run: RunReport) -> str:
    speeds = sorted(point.tokens_per_second for point in run.usage if point.tokens_per_second is not None)
    cores = [point.cpu_cores for point in run.usage if point.cpu_cores is not None]
    parts = []
    if speeds:
        parts.append(f"{speeds[len(speeds) // 2]:,.0f} tokens a second in the median")
    if cores:
        parts.append(f"{sum(cores) / len(cores):.1f} cores busy on average")
    if run.resources.waited_seconds is not None and run.resources.seconds:
        parts.append(f"{run.resources.waited_seconds / run.resources.seconds:.0%} of the time waiting for rows")
    return ", ".join(parts)[:1].upper() + ", ".join(parts)[1:] + "." if parts else ""


def _table(usage: tuple[UsagePoint, ...], words: list[str], columns: list[list[float | None]]) -> Table:
    return Table(
        caption="Speed and resources over time",
        header=("second", *words),
        rows=tuple(
            (
                f"{point.seconds:,.0f}",
                *(units.ABSENT if values[place] is None else f"{values[place]:,.1f}" for values in columns),
            )
            for place, point in enumerate(usage)
        ),
        text_columns=(),
    )


def _megabytes(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else size_bytes / _MEGABYTE
