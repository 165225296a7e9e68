"""Marks that several charts share: rows as data, dots with intervals, names above their row.

A leaf module: altair is imported at its top, and only the page, when it is made, reaches it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import altair as alt

from slmcheck.records import Json
from slmcheck.reports.charts.figure import specification
from slmcheck.reports.page.palette import ACCENT, INK, MUTED, PAPER

ROW_HEIGHT = 46
LABEL_CHARACTERS = 44
"""Of a name above its row; what is longer is in the table below the chart."""

Row: TypeAlias = Mapping[str, Json]


def chart_of(rows: Sequence[Row]) -> alt.Chart:
    """A chart of rows that stand in its own specification."""
    return alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))


def dots(
    rows: Sequence[Row],
    order: Sequence[str],
    *,
    field: str,
    title: str,
    reference: float | None,
    reference_label: str = "",
) -> dict[str, Json]:
    """Dots with intervals, one row each, the name above its line so that it has room on a phone."""
    height = ROW_HEIGHT * len(order)
    y = alt.Y("what:N", sort=list(order), axis=None, scale=alt.Scale(paddingOuter=0.2))
    x = alt.X(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(zero=False, nice=True, padding=12),
        axis=alt.Axis(tickCount=5, grid=False),
    )
    base = chart_of(rows).encode(y=y)
    tooltip = [
        alt.Tooltip("what:N", title="row"),
        *(alt.Tooltip(f"{column}:Q", format=".3~f") for column in (field, "low", "high")),
    ]
    layers = [
        base.mark_rule(color=ACCENT.light, strokeWidth=2, yOffset=10).encode(
            x=alt.X("low:Q", title=title), x2="high:Q"
        ),
        base.mark_point(filled=True, size=90, color=ACCENT.light, opacity=1, yOffset=10).encode(x=x, tooltip=tooltip),
        *row_names(base, "what:N"),
    ]
    if reference is not None:
        line = chart_of([{"at": reference, "label": reference_label}]).encode(x=alt.X("at:Q", title=title))
        layers.insert(0, line.mark_rule(color=MUTED.light, strokeDash=[2, 3]))
        if reference_label:
            label = line.mark_text(align="right", dx=-5, baseline="bottom", color=MUTED.light)
            layers.append(label.encode(text="label:N", y=alt.value(height - 2)))
    return specification(alt.layer(*layers).properties(height=height))


def row_names(base: alt.Chart, field: str) -> list[alt.Chart]:
    """The name of each row at its left end, with a halo where it crosses a line."""
    halo = base.mark_text(align="left", dy=-7, stroke=PAPER.light, strokeWidth=4, strokeJoin="round")
    text = base.mark_text(align="left", dy=-7)
    return [mark.encode(x=alt.value(0), text=field, color=alt.value(INK.light)) for mark in (halo, text)]


def scaled(end: float | None, value: float, scale: float) -> float:
    """The end of an interval; the value itself where there is none, so that nothing is drawn."""
    return (value if end is None else end) * scale
