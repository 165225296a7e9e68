"""The overfitting gap, and the scores of slices: dots with their intervals.

A leaf module: altair is imported at its top, and only the page, when it is made, reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence

from slmcheck.records import GapRecord, RunReport, ScoreRecord
from slmcheck.reports import units
from slmcheck.reports.charts.figure import Figure, Table
from slmcheck.reports.charts.marks import LABEL_CHARACTERS, Row, dots, scaled
from slmcheck.reports.text import one_line


def gap_intervals(run: RunReport, name: str) -> tuple[Figure, ...]:
    """The overfitting gap of the run, of its base model, and what is beyond it; a chart for each metric."""
    return tuple(_gap_figure(gap, f"{name}-gap-{index}") for index, gap in enumerate(run.gaps))


def slice_scores(run: RunReport, name: str) -> tuple[Figure, ...]:
    """Scores of the slices against the score of the whole split; a chart for each metric that has slices."""
    metrics = dict.fromkeys(score.metric for score in run.scores if score.slice)
    return tuple(_slice_figure(run, metric, f"{name}-slices-{index}") for index, metric in enumerate(metrics))


def _gap_figure(gap: GapRecord, name: str) -> Figure:
    scale = 100 if gap.unit == "share" else 1
    parts = [("this run", gap.gap, gap.low, gap.high)]
    if gap.base_gap is not None:
        parts.append(("base model", gap.base_gap, None, None))
    if gap.beyond_base is not None:
        parts.append(("beyond the base model", gap.beyond_base, gap.beyond_base_low, gap.beyond_base_high))
    rows: list[Row] = [
        {
            "what": f"{word}: {units.change(value, gap.unit)}",
            "gap": value * scale,
            "low": scaled(low, value, scale),
            "high": scaled(high, value, scale),
        }
        for word, value, low, high in parts
    ]
    metric = one_line(gap.metric)
    axis = "points" if units.in_points(1.0, gap.unit) is not None else (gap.unit or metric)
    message = (
        f"{metric} is {units.value(gap.train, gap.unit)} on training rows and"
        f" {units.value(gap.evaluation, gap.unit)} on evaluation rows: a gap of {units.change(gap.gap, gap.unit)}"
    )
    if gap.base_gap is not None:
        message += f", where the base model has {units.change(gap.base_gap, gap.unit)}"
    return Figure(
        name=name,
        title=f"Overfitting gap in {metric}",
        message=f"{message}.",
        spec=dots(rows, [str(row["what"]) for row in rows], field="gap", title=f"gap, {axis}", reference=0.0),
        tables=(
            Table(
                caption=f"Gap in {metric}: training rows minus evaluation rows, larger is more overfitting",
                header=("model", "gap", "95 % interval"),
                rows=tuple(
                    (word, units.change(value, gap.unit), units.change_interval(low, high, gap.unit))
                    for word, value, low, high in parts
                ),
            ),
        ),
    )


def _slice_figure(run: RunReport, metric: str, name: str) -> Figure:
    scores = [score for score in run.scores if score.metric == metric]
    whole = next((score for score in scores if not score.slice), None)
    slices = sorted(
        (score for score in scores if score.slice),
        key=lambda score: score.value,
        reverse=not scores[0].higher_is_better,
    )
    scale = 100 if scores[0].unit == "share" else 1
    rows: list[Row] = [
        {
            "what": f"{one_line(score.slice or '', LABEL_CHARACTERS)} (n={score.n:,})",
            "score": score.value * scale,
            "low": scaled(score.low, score.value, scale),
            "high": scaled(score.high, score.value, scale),
        }
        for score in slices
    ]
    worst, label = slices[0], one_line(metric)
    message = (
        f"The weakest slice in {label} is '{one_line(worst.slice or '')}' with {units.value(worst.value, worst.unit)}"
    )
    message += f"; all rows together have {units.value(whole.value, whole.unit)}." if whole is not None else "."
    unit = scores[0].unit
    axis = "points" if units.in_points(1.0, unit) is not None else unit
    return Figure(
        name=name,
        title=f"Slices: {label}",
        message=message,
        spec=dots(
            rows,
            [str(row["what"]) for row in rows],
            field="score",
            title=f"{label}, {axis}" if axis else label,
            reference=None if whole is None else whole.value * scale,
            reference_label="all rows",
        ),
        tables=(_score_table(f"{label} by slice", ([whole] if whole is not None else []) + slices),),
    )


def _score_table(caption: str, scores: Sequence[ScoreRecord]) -> Table:
    return Table(
        caption=caption,
        header=("slice", "score", "95 % interval", "examples"),
        rows=tuple(
            (
                one_line(score.slice or "all rows"),
                units.value(score.value, score.unit),
                units.interval(score.low, score.high, score.unit),
                f"{score.n:,}",
            )
            for score in scores
        ),
    )
