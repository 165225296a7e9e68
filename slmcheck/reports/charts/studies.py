"""What came of training more than once: the trials of a search, the learning curve.

A leaf module: altair is imported at its top, and only the page, when it is made, reaches it.
"""

from __future__ import annotations

from itertools import accumulate

import altair as alt

from slmcheck.records import LearningCurveRecord, RunReport, SearchRecord
from slmcheck.reports import units
from slmcheck.reports.charts.figure import Figure, Table, specification
from slmcheck.reports.charts.marks import Row, chart_of, scaled
from slmcheck.reports.page.palette import ACCENT, FAINT, SECOND
from slmcheck.reports.studies import curve_rows, search_message, trial_header, trial_rows
from slmcheck.reports.text import one_line

_FRAME = 0.12
"""Share of the range of complete trials that the picture shows beyond them: a diverged trial would flatten the rest."""


def study_figures(run: RunReport, name: str) -> tuple[Figure, ...]:
    """The trials of a run's search and its learning curve, where it has them."""
    found = []
    if run.search is not None and run.search.best is not None:
        found.append(_search(run.search, f"{name}-search"))
    if run.learning_curve is not None:
        found.append(_curve(run.learning_curve, f"{name}-learning-curve"))
    return tuple(found)


def _search(search: SearchRecord, name: str) -> Figure:
    shown = [trial for trial in search.trials if trial.value is not None]
    rows: list[Row] = [
        {"trial": trial.number, "value": trial.value, "state": trial.state, "settings": _settings(trial.values)}
        for trial in shown
    ]
    complete = [(trial.number, trial.value) for trial in shown if trial.state == "complete" and trial.value is not None]
    better = max if search.higher_is_better else min
    best = list(accumulate((value for _, value in complete), better))
    steps: list[Row] = [{"trial": number, "best": value} for (number, _), value in zip(complete, best, strict=True)]
    values = [value for _, value in complete]
    room = _FRAME * (max(values) - min(values)) or abs(values[0]) * _FRAME or 1.0
    label = one_line(search.metric.replace("_", " "))
    title = f"{label}, nats a token" if search.metric == "validation_loss" else label
    domain = alt.Scale(domain=[min(values) - room, max(values) + room], clamp=True, nice=False)
    y = alt.Y("value:Q", title=title, scale=domain, axis=alt.Axis(tickCount=5))
    x = alt.X("trial:Q", title="trial", axis=alt.Axis(grid=False, tickMinStep=1, format="d"))
    states = ["complete", "pruned"]
    layers = alt.layer(
        chart_of(steps)
        .mark_line(interpolate="step-after", color=FAINT.light, strokeWidth=2)
        .encode(x=x, y=alt.Y("best:Q", title=title, scale=domain)),
        chart_of(rows)
        .mark_point(filled=True, size=80, opacity=1)
        .encode(
            x=x,
            y=y,
            color=alt.Color("state:N", scale=alt.Scale(domain=states, range=[ACCENT.light, SECOND.light])),
            shape=alt.Shape("state:N", scale=alt.Scale(domain=states, range=["circle", "cross"])),
            tooltip=["trial:Q", alt.Tooltip("value:Q", format=".4f"), "state:N", "settings:N"],
        ),
    )
    return Figure(
        name=name,
        title="Search",
        message=search_message(search),
        spec=specification(layers.properties(height=200)),
        tables=(
            Table(
                caption="Trials of the search, the best first",
                header=trial_header(search),
                rows=trial_rows(search),
                text_columns=(0, len(trial_header(search)) - 1),
            ),
        ),
    )


def _settings(values: object) -> str:
    assert isinstance(values, dict)
    return one_line(", ".join(f"{name} {value}" for name, value in values.items()), 200)


def _curve(curve: LearningCurveRecord, name: str) -> Figure:
    scale = 100.0 if curve.unit == "share" else 1.0
    rows: list[Row] = [
        {
            "rows": point.rows,
            "score": point.value * scale,
            "low": scaled(point.low, point.value, scale),
            "high": scaled(point.high, point.value, scale),
        }
        for point in curve.points
    ]
    label = one_line(curve.metric)
    axis = "points" if units.in_points(1.0, curve.unit) is not None else curve.unit
    ticks = [point.rows for point in curve.points]
    x = alt.X(
        "rows:Q",
        title="training rows",
        scale=alt.Scale(type="log", base=2, nice=False, padding=24),
        axis=alt.Axis(values=ticks, format=",d", grid=False),
    )
    title = f"{label}, {axis}" if axis else label
    y = alt.Y("score:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    base = chart_of(rows).encode(x=x)
    tooltip = [alt.Tooltip("rows:Q", format=","), alt.Tooltip("score:Q", format=".2f"), "low:Q", "high:Q"]
    layers = alt.layer(
        base.mark_line(color=FAINT.light, strokeWidth=1.5).encode(y=y),
        base.mark_rule(color=ACCENT.light, strokeWidth=2).encode(y=alt.Y("low:Q", title=""), y2="high:Q"),
        base.mark_point(filled=True, size=90, color=ACCENT.light, opacity=1).encode(y=y, tooltip=tooltip),
    )
    return Figure(
        name=name,
        title="Learning curve",
        message=one_line(curve.summary, 400),
        spec=specification(layers.properties(height=200)),
        tables=(
            Table(
                caption=f"{label} by training rows",
                header=("rows", "score", "95 % interval"),
                rows=curve_rows(curve),
                text_columns=(),
            ),
        ),
    )
