"""Scores of earlier releases beside the one of this run.

A leaf module: altair is imported at its top, and only the page, when it is made, reaches it.
"""

from __future__ import annotations

import altair as alt

from slmcheck.records import RunReport
from slmcheck.reports import units
from slmcheck.reports.charts.figure import Figure, Table, specification
from slmcheck.reports.charts.marks import LABEL_CHARACTERS, Row, chart_of, scaled
from slmcheck.reports.page.palette import ACCENT, FAINT
from slmcheck.reports.text import one_line


def trend(run: RunReport, name: str) -> tuple[Figure, ...]:
    """Scores of earlier releases and of this run, a chart a metric."""
    metrics = dict.fromkeys(point.metric for point in run.trend)
    return tuple(_trend_figure(run, metric, f"{name}-trend-{index}") for index, metric in enumerate(metrics))


def _trend_figure(run: RunReport, metric: str, name: str) -> Figure:
    past = [point for point in run.trend if point.metric == metric]
    now = next((score for score in run.scores if score.metric == metric and not score.slice), None)
    unit = past[0].unit
    scale = 100 if unit == "share" else 1
    named = [(one_line(point.label, LABEL_CHARACTERS), point.value, point.low, point.high) for point in past]
    named += [("this run", now.value, now.low, now.high)] if now is not None else []
    rows: list[Row] = [
        {"label": word, "score": value * scale, "low": scaled(low, value, scale), "high": scaled(high, value, scale)}
        for word, value, low, high in named
    ]
    label = one_line(metric)
    axis = "points" if units.in_points(1.0, unit) is not None else unit
    x = alt.X("label:N", sort=None, title=None, axis=alt.Axis(labelAngle=0, grid=False, labelOverlap=True))
    y = alt.Y("score:Q", title=f"{label}, {axis}" if axis else label, scale=alt.Scale(zero=False))
    base = chart_of(rows).encode(x=x)
    tooltip = [alt.Tooltip("label:N"), alt.Tooltip("score:Q", format=".2f"), "low:Q", "high:Q"]
    layers = alt.layer(
        base.mark_line(color=FAINT.light, strokeWidth=1.5).encode(y=y),
        base.mark_rule(color=ACCENT.light, strokeWidth=2).encode(y=alt.Y("low:Q", title=""), y2="high:Q"),
        base.mark_point(filled=True, size=90, color=ACCENT.light, opacity=1).encode(y=y, tooltip=tooltip),
    )
    moved = named[-1][1] - named[-2][1] if len(named) > 1 else 0.0
    return Figure(
        name=name,
        title=f"Releases: {label}",
        message=f"{label} was {units.value(named[0][1], unit)} in {named[0][0]} and is"
        f" {units.value(named[-1][1], unit)} in {named[-1][0]}; the last change is {units.change(moved, unit)}.",
        spec=specification(layers.properties(height=180)),
        tables=(
            Table(
                caption=f"{label} by release",
                header=("release", "score", "95 % interval"),
                rows=tuple(
                    (word, units.value(value, unit), units.interval(low, high, unit))
                    for word, value, low, high in named
                ),
            ),
        ),
    )
