"""The error of every place of an exported graph, in the order of the graph.

A leaf module: altair is imported at its top, and only the page, when it is made, reaches it.
"""

from __future__ import annotations

import altair as alt

from slmcheck.records import Location
from slmcheck.reports.charts.figure import Figure, Table, specification
from slmcheck.reports.charts.marks import Row, chart_of
from slmcheck.reports.locations import error_word
from slmcheck.reports.page.palette import ACCENT, FAIL, FAINT, MUTED
from slmcheck.reports.text import one_line

SMALLEST = 1e-9
"""Where equal tensors are drawn: a logarithmic axis has no zero."""
GUILTY, RIGHT, RUNNING = "beyond rounding", "isolated", "as the graph runs"


def error_plot(found: Location, name: str) -> Figure | None:
    """Isolated and running errors over the places of a graph; None where nothing was isolated."""
    if not found.errors:
        return None
    rows: list[Row] = []
    for place, one in enumerate(found.errors):
        common: Row = {"place": place, "module": one.module}
        if one.isolated is not None:
            kind = GUILTY if one.guilty else RIGHT
            rows.append({**common, "error": max(one.isolated, SMALLEST), "what": kind})
        if one.cumulative is not None:
            rows.append({**common, "error": max(one.cumulative, SMALLEST), "what": RUNNING})
    x = alt.X("place:Q", title="place in the graph", axis=alt.Axis(grid=False, labels=False, ticks=False))
    y = alt.Y("error:Q", title="relative error", scale=alt.Scale(type="log"), axis=alt.Axis(format=".0e", tickCount=5))
    colors = alt.Color(
        "what:N",
        scale=alt.Scale(domain=[RIGHT, GUILTY, RUNNING], range=[ACCENT.light, FAIL.light, FAINT.light]),
        legend=alt.Legend(columns=3, labelLimit=220),
    )
    tooltip = [alt.Tooltip("module:N"), alt.Tooltip("what:N"), alt.Tooltip("error:Q", format=".2e")]
    running = chart_of([row for row in rows if row["what"] == RUNNING]).mark_line(strokeWidth=1.5)
    isolated = chart_of([row for row in rows if row["what"] != RUNNING]).mark_point(filled=True, size=45, opacity=1)
    layers = [running.encode(x=x, y=y, color=colors), isolated.encode(x=x, y=y, color=colors, tooltip=tooltip)]
    starts = _layer_starts(found)
    if starts:
        base = chart_of(starts).encode(x=alt.X("place:Q", title="place in the graph"))
        layers.append(base.mark_rule(color=FAINT.light, opacity=0.35))
        label = base.mark_text(align="left", dx=3, color=MUTED.light, baseline="top").encode(
            y=alt.value(0), text="label:N"
        )
        layers.append(label)
    return Figure(
        name=f"{name}-location-{found.precision}",
        title=f"Where the {found.precision} export departs",
        message=one_line(found.sentence),
        spec=specification(alt.layer(*layers).properties(height=220)),
        tables=(_table(found),),
        wide=True,
    )


def _layer_starts(found: Location) -> list[Row]:
    starts: dict[int, int] = {}
    for place, one in enumerate(found.errors):
        if one.layer is not None:
            starts.setdefault(one.layer, place)
    step = max(1, len(starts) // 16)
    return [{"place": place, "label": str(layer)} for layer, place in starts.items() if layer % step == 0]


def _table(found: Location) -> Table:
    return Table(
        caption="Relative error of every place, in the order of the graph",
        header=("place", "isolated", "as the graph runs", "beyond rounding"),
        rows=tuple(
            (one_line(one.module), error_word(one.isolated), error_word(one.cumulative), one.at or "no")
            for one in found.errors
        ),
        text_columns=(0, 3),
    )
