"""The confusion matrix of a classification as a heat map, and its classes as a table.

A leaf module: altair is imported at its top, and the page imports it when it is made.
"""

from __future__ import annotations

import altair as alt

from slmcheck.records import ConfusionRecord
from slmcheck.reports.charts.figure import Figure, Table, specification
from slmcheck.reports.page.palette import ACCENT, INK, PAPER
from slmcheck.reports.text import one_line
from slmcheck.reports.units import ABSENT

SHOWN_LABELS = 24
"""More labels than this are illegible; those with the most mistakes are drawn, all are in the table of classes."""
_WRITTEN_LABELS = 12
"""Up to so many labels each cell has its count written in it."""


def heat_map(confusion: ConfusionRecord, name: str) -> Figure:
    """Which labels are taken for which: rows are references, shares of a row decide the depth of colour."""
    labels = _distinct([one_line(label, 20) for label in confusion.labels])
    shown = _most_confused(confusion)
    totals = [sum(row) for row in confusion.counts]
    cells = [
        {
            "reference": labels[row],
            "prediction": labels[column],
            "count": confusion.counts[row][column],
            "share": confusion.counts[row][column] / totals[row] if totals[row] else 0.0,
        }
        for row in shown
        for column in shown
    ]
    order = [labels[index] for index in shown]
    across = alt.Axis(orient="top", labelAngle=-40, ticks=False, labelLimit=180)
    base = alt.Chart(alt.InlineData(values=cells)).encode(
        x=alt.X("prediction:N", sort=order, title=None, axis=across),
        y=alt.Y("reference:N", sort=order, title=None, axis=alt.Axis(ticks=False, labelLimit=180)),
    )
    squares = base.mark_rect(fill=ACCENT.light, stroke=PAPER.light, strokeWidth=2, cornerRadius=3).encode(
        fillOpacity=alt.FillOpacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.05, 1]), legend=None),
        tooltip=["reference:N", "prediction:N", "count:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    layers = [squares]
    if len(shown) <= _WRITTEN_LABELS:
        counts = base.mark_text(fontSize=12).encode(
            text="count:Q",
            color=alt.condition(alt.datum.share > 0.55, alt.value(PAPER.light), alt.value(INK.light)),
        )
        layers.append(counts)
    height = max(len(shown) * (40 if len(shown) <= _WRITTEN_LABELS else 18), 120)
    return Figure(
        name=name,
        title="Confusion: rows are references, columns predictions",
        message=_message(confusion, labels) + _omitted(len(labels), len(shown)),
        spec=specification(alt.layer(*layers).properties(height=height)),
        tables=(_class_table(confusion), _count_table(confusion, shown)),
    )


def _most_confused(confusion: ConfusionRecord) -> list[int]:
    count = len(confusion.labels)
    if count <= SHOWN_LABELS:
        return list(range(count))
    wrong = [
        sum(confusion.counts[index]) + sum(row[index] for row in confusion.counts) - 2 * confusion.counts[index][index]
        for index in range(count)
    ]
    return sorted(sorted(range(count), key=lambda index: -wrong[index])[:SHOWN_LABELS])


def _message(confusion: ConfusionRecord, labels: list[str]) -> str:
    mistakes = [
        (count, row, column)
        for row, counts in enumerate(confusion.counts)
        for column, count in enumerate(counts)
        if row != column and count
    ]
    if not mistakes:
        return "No label is taken for another."
    count, row, column = max(mistakes, key=lambda mistake: mistake[0])
    total = sum(confusion.counts[row])
    return f"Most often '{labels[row]}' is taken for '{labels[column]}': {count:,} of {total:,} examples."


def _omitted(count: int, shown: int) -> str:
    return f" The {shown} labels with the most mistakes of {count} are drawn." if shown < count else ""


def _class_table(confusion: ConfusionRecord) -> Table:
    rows = []
    for index, label in enumerate(confusion.labels):
        hits, total = confusion.counts[index][index], sum(confusion.counts[index])
        predicted = sum(row[index] for row in confusion.counts)
        f1 = f"{2 * hits / (total + predicted):.3f}" if total + predicted else ABSENT
        rows.append((one_line(label), _ratio(hits, predicted), _ratio(hits, total), f1, f"{total:,}"))
    return Table(caption="Classes", header=("label", "precision", "recall", "F1", "examples"), rows=tuple(rows))


def _count_table(confusion: ConfusionRecord, shown: list[int]) -> Table:
    return Table(
        caption="Counts: rows are references, columns predictions",
        header=("reference", *(one_line(confusion.labels[index]) for index in shown)),
        rows=tuple(
            (one_line(confusion.labels[row]), *(f"{confusion.counts[row][column]:,}" for column in shown))
            for row in shown
        ),
    )


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else ABSENT


def _distinct(labels: list[str]) -> list[str]:
    """Labels of which no two are equal, although shortening may have made them so."""
    return [
        label if labels.count(label) == 1 else f"{label} ({labels[:index].count(label) + 1})"
        for index, label in enumerate(labels)
    ]
