"""Verdicts as dots with intervals, measured from what is required of them.

A leaf module: altair is imported at its top, and only the page, when it is made, reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import altair as alt

from slmcheck.records import Report, VerdictRecord
from slmcheck.reports import units
from slmcheck.reports.charts.figure import Figure, Table, specification
from slmcheck.reports.charts.marks import ROW_HEIGHT, Row, chart_of, row_names
from slmcheck.reports.page.palette import INK, STATES
from slmcheck.reports.rows import VerdictRow, verdict_rows
from slmcheck.reports.text import counted, one_line

_Placed: TypeAlias = tuple[VerdictRow, tuple[float, float, float]]
"""A row with its distance from what is required and the ends of its interval."""
_SHAPES = {"pass": "circle", "fail": "diamond", "inconclusive": "square", "accepted": "triangle-up"}
_SHAPES |= {"waived": "cross", "quarantined": "cross"}
_DISTANCES = (-80, -40, -20, -10, -5, -2, 0, 2, 5, 10, 20, 40, 80)


def verdict_intervals(report: Report) -> tuple[Figure, ...]:
    """Every verdict as a dot with its interval, measured from its criterion; to the right is better.

    Shares and points share one axis in points, other units one in per cent of the criterion.
    """
    several = len({verdict.run for verdict in report.verdicts}) > 1
    drawn = [(row, distance) for row in verdict_rows(report.verdicts) if (distance := _distance(row.verdict))]
    figures = []
    for name, title, in_points in (
        ("verdicts-points", "Distance from what is required, in points", True),
        ("verdicts-relative", "Distance from what is required, in per cent of it", False),
    ):
        chosen = [(row, ends) for row, ends in drawn if (row.verdict.unit in ("share", "points")) is in_points]
        if chosen:
            figures.append(_verdict_figure(chosen, name, title, several=several))
    return tuple(figures)


def _distance(verdict: VerdictRecord) -> tuple[float, float, float] | None:
    """How far a verdict is from its criterion: value and interval, better to the right, in points or per cent."""
    if verdict.target is None or verdict.kind in ("finding", "equivalent"):
        return None
    if verdict.kind == "exact" and verdict.target_name is not None:
        return None  # its criterion, a factor of the other score perhaps, is not recorded as a number
    sign = 1.0 if verdict.higher_is_better else -1.0
    if verdict.change is None:
        ends = (verdict.value, verdict.low, verdict.high)
        shift = -verdict.target
    else:
        ends = (verdict.change, verdict.change_low, verdict.change_high)
        margin = verdict.margin or 0.0
        shift = {"no_worse": sign * margin, "better_by": -sign * margin}.get(verdict.kind, 0.0)
    scale = 100.0 if verdict.unit == "share" else 1.0
    if verdict.unit not in ("share", "points"):
        if not verdict.target:
            return None
        scale = 100.0 / abs(verdict.target)
    value, *interval = [None if end is None else sign * (end + shift) * scale for end in ends]
    assert value is not None
    known = sorted(end for end in interval if end is not None and math.isfinite(end))
    return (value, known[0], known[-1]) if len(known) == 2 else (value, value, value)


def _verdict_figure(chosen: Sequence[_Placed], name: str, title: str, *, several: bool) -> Figure:
    wrong = sum(value < 0 for _, (value, _, _) in chosen)
    gates = f"{wrong} of {counted(len(chosen), 'gate')}" if wrong else "No gate"
    side = f"{gates} {'lies' if wrong < 2 else 'lie'} on the wrong side of what is required"
    return Figure(
        name=name,
        title=title,
        message=f"{side}; where an interval crosses the line, the examples cannot tell.",
        spec=specification(_drawn(chosen, several=several).properties(height=ROW_HEIGHT * len(chosen))),
        tables=(
            Table(
                caption=title,
                header=("gate", "state", "distance", "interval"),
                rows=tuple(
                    (
                        f"{row.verdict.run}: {row.metric} {row.criterion}",
                        row.word,
                        f"{value:+.2f}",
                        f"{low:+.2f} .. {high:+.2f}" if low != high else units.ABSENT,
                    )
                    for row, (value, low, high) in chosen
                ),
                text_columns=(0, 1),
            ),
        ),
        wide=True,
    )


def _drawn(chosen: Sequence[_Placed], *, several: bool) -> alt.LayerChart | alt.FacetChart:
    """Dots and intervals on an axis that compresses what is far away: most gates lie near their criterion."""
    reach = max(2.0, *(abs(end) for _, ends in chosen for end in ends))
    lowest = min(end for _, ends in chosen for end in ends)
    scale = alt.Scale(type="symlog", constant=2, domain=[-reach * 1.05 if lowest < 0 else -2, reach * 1.05])
    axis = alt.Axis(
        values=[tick for tick in _DISTANCES if abs(tick) <= reach],
        labelExpr="datum.value == 0 ? '0' : format(datum.value, '+,d')",
        grid=False,
        title="worse than required   ←   0   →   better than required",
    )
    states = list(dict.fromkeys(row.verdict.shown for row, _ in chosen))
    colors = alt.Scale(domain=states, range=[STATES[state].light for state in states])
    shapes = alt.Scale(domain=states, range=[_SHAPES[state] for state in states])
    base = chart_of([_mark(index, placed, several=several) for index, placed in enumerate(chosen)]).encode(
        y=alt.Y("row:O", axis=None, scale=alt.Scale(paddingOuter=0.2)),
        color=alt.Color("state:N", scale=colors, legend=None),
    )
    required = chart_of([{"at": 0}]).mark_rule(color=INK.light, strokeWidth=1)
    tooltip = ["claim:N", "state:N", *(alt.Tooltip(f"{end}:Q", format="+.2~f") for end in ("distance", "low", "high"))]
    return alt.layer(
        required.encode(x=alt.X("at:Q", scale=scale, axis=axis)),
        base.mark_rule(strokeWidth=2.5, yOffset=10).encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"),
        base.mark_point(filled=True, size=110, opacity=1, yOffset=10).encode(
            x=alt.X("distance:Q", scale=scale, axis=axis),
            shape=alt.Shape("state:N", scale=shapes, legend=None),
            tooltip=tooltip,
        ),
        *row_names(base, "label:N"),
    )


def _mark(index: int, placed: _Placed, *, several: bool) -> Row:
    row, (value, low, high) = placed
    run = f"{one_line(row.verdict.run, 28)}: " if several else ""
    return {
        "row": index,
        "label": f"{row.symbol} {row.word}   {run}{row.metric} {row.criterion}",
        "state": row.verdict.shown,
        "distance": value,
        "low": low,
        "high": high,
        "claim": one_line(row.verdict.claim, 120),
    }
