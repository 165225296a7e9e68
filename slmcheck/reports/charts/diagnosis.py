"""What diagnosis looked at: classes, slices it found, calibration.

A leaf module: altair is imported at its top, and only the page, when it is made, reaches it.
"""

from __future__ import annotations

import altair as alt

from slmcheck.records import ConfusionRecord, Json, ReliabilityBin, RunReport, ScoreRecord
from slmcheck.reports import units
from slmcheck.reports.charts.figure import Figure, Table, specification
from slmcheck.reports.charts.marks import LABEL_CHARACTERS, Row, chart_of, dots, scaled
from slmcheck.reports.page.palette import ACCENT, MUTED
from slmcheck.reports.text import one_line
from slmcheck.statistics import wilson

QUANTILE = 1.959963984540054
SHOWN_CLASSES = 24
SHOWN_SLICES = 24


def diagnosis_figures(run: RunReport, name: str) -> tuple[Figure, ...]:
    """The charts of a diagnosis that has something to draw."""
    found = []
    if run.confusion is not None and run.confusion.labels:
        found.append(class_bars(run.confusion, f"{name}-classes"))
    if run.found_slices:
        found.append(found_slices(run.found_slices, f"{name}-found-slices"))
    if run.reliability:
        found.append(reliability_diagram(run.reliability, f"{name}-reliability"))
    return tuple(found)


def class_bars(confusion: ConfusionRecord, name: str) -> Figure:
    """The share of each label's rows that are answered right, with its interval, weakest first."""
    known = []
    for place, label in enumerate(confusion.labels):
        rows = sum(confusion.counts[place])
        if rows:
            right = confusion.counts[place][place]
            low, high = wilson(right, rows, QUANTILE)
            known.append((one_line(label, LABEL_CHARACTERS), right, rows, float(low), float(high)))
    known.sort(key=lambda item: (item[1] / item[2], item[0]))
    drawn: list[Row] = [
        {"what": f"{label} ({right:,} of {rows:,})", "right": 100 * right / rows, "low": 100 * low, "high": 100 * high}
        for label, right, rows, low, high in known[:SHOWN_CLASSES]
    ]
    message = "No label has a row."
    if known:
        label, right, rows, _, _ = known[0]
        message = f"'{label}' is answered right least often: {right:,} of {rows:,} rows."
    if len(known) > SHOWN_CLASSES:
        message += f" The {SHOWN_CLASSES} weakest of {len(known)} labels are drawn."
    return Figure(
        name=name,
        title="Right answers by class",
        message=message,
        spec=_bars(drawn),
        tables=(
            Table(
                caption="Right answers by class",
                header=("label", "right", "rows", "share", "95 % interval"),
                rows=tuple(
                    (label, f"{right:,}", f"{rows:,}", f"{right / rows:.3f}", f"{low:.3f} .. {high:.3f}")
                    for label, right, rows, low, high in known
                ),
            ),
        ),
    )


def _bars(rows: list[Row]) -> dict[str, Json]:
    order = [str(row["what"]) for row in rows]
    y = alt.Y("what:N", sort=order, title=None, axis=alt.Axis(ticks=False, labelLimit=200))
    x = alt.X(
        "right:Q", title="right answers, %", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(tickCount=5), stack=None
    )
    base = chart_of(rows).encode(y=y)
    bars = base.mark_bar(color=ACCENT.light, fillOpacity=0.55).encode(x=x)
    ends = base.mark_rule(color=MUTED.light, strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q")
    return specification(alt.layer(bars, ends).properties(height=max(80, 24 * len(rows))))


def found_slices(slices: tuple[ScoreRecord, ...], name: str) -> Figure:
    """The slices that diagnosis looked at, weakest first."""
    ordered = sorted(slices, key=lambda score: (score.value, score.slice or ""))
    shown = ordered[:SHOWN_SLICES]
    scale = 100 if ordered[0].unit == "share" else 1
    rows: list[Row] = [
        {
            "what": f"{one_line(score.slice or '', LABEL_CHARACTERS)} (n={score.n:,})",
            "score": score.value * scale,
            "low": scaled(score.low, score.value, scale),
            "high": scaled(score.high, score.value, scale),
        }
        for score in shown
    ]
    metric, worst = one_line(ordered[0].metric), ordered[0]
    more = f" The {len(shown)} weakest of {len(ordered)} are drawn." if len(ordered) > len(shown) else ""
    return Figure(
        name=name,
        title=f"Slices that diagnosis looked at: {metric}",
        message=f"The weakest is '{one_line(worst.slice or '')}' with {units.value(worst.value, worst.unit)}.{more}",
        spec=dots(
            rows,
            [str(row["what"]) for row in rows],
            field="score",
            title=f"{metric}, points" if scale == 100 else metric,
            reference=None,
        ),
        tables=(
            Table(
                caption=f"{metric} by slice",
                header=("slice", "score", "95 % interval", "examples"),
                rows=tuple(
                    (
                        one_line(score.slice or ""),
                        units.value(score.value, score.unit),
                        units.interval(score.low, score.high, score.unit),
                        f"{score.n:,}",
                    )
                    for score in ordered
                ),
            ),
        ),
    )


def reliability_diagram(bins: tuple[ReliabilityBin, ...], name: str) -> Figure:
    """Accuracy against confidence; on the diagonal probabilities are what they say."""
    rows: list[Row] = [
        {
            "confidence": 100 * one.confidence,
            "accuracy": 100 * one.accuracy,
            "low": 100 * one.low,
            "high": 100 * one.high,
            "n": one.n,
        }
        for one in bins
    ]
    whole = sum(one.n for one in bins)
    error = sum(one.n * abs(one.confidence - one.accuracy) for one in bins) / whole
    excess = sum(one.n * (one.confidence - one.accuracy) for one in bins) / whole
    domain = alt.Scale(domain=[0, 100])
    x = alt.X("confidence:Q", title="probability of the answer, %", scale=domain, axis=alt.Axis(tickCount=5))
    y = alt.Y("accuracy:Q", title="right, %", scale=domain, axis=alt.Axis(tickCount=5))
    diagonal = (
        chart_of([{"confidence": 0, "accuracy": 0}, {"confidence": 100, "accuracy": 100}])
        .mark_line(color=MUTED.light, strokeDash=[2, 3])
        .encode(x=x, y=y)
    )
    base = chart_of(rows)
    ends = base.mark_rule(color=ACCENT.light, strokeWidth=2).encode(
        x=x, y=alt.Y("low:Q", title="right, %"), y2="high:Q"
    )
    points = base.mark_point(filled=True, color=ACCENT.light, opacity=1).encode(
        x=x, y=y, size=alt.Size("n:Q", legend=None), tooltip=["confidence:Q", "accuracy:Q", "n:Q"]
    )
    word = "surer than right" if excess >= 0 else "less sure than right"
    return Figure(
        name=name,
        title="Calibration",
        message=f"Answers are {100 * abs(excess):.1f} points {word}; expected calibration error {error:.3f}.",
        spec=specification(alt.layer(diagonal, ends, points).properties(height=240)),
        tables=(
            Table(
                caption="Answers by their probability",
                header=("mean probability", "right", "95 % interval", "answers"),
                rows=tuple(
                    (f"{one.confidence:.3f}", f"{one.accuracy:.3f}", f"{one.low:.3f} .. {one.high:.3f}", f"{one.n:,}")
                    for one in bins
                ),
                text_columns=(),
            ),
        ),
    )
