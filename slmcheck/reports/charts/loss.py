"""Loss curves of a training.

A leaf module: altair is imported at its top, and only the page, when it is made, reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from slmcheck.records import HistoryPoint, RunReport
from slmcheck.reports import units
from slmcheck.reports.charts.figure import Figure, Table, specification
from slmcheck.reports.charts.marks import Row, chart_of
from slmcheck.reports.page.palette import ACCENT, FAINT, INK, MUTED, SECOND

_DASHES = {"training batches": [1, 0], "training rows": [6, 3], "validation rows": [1, 0]}


def loss_curves(run: RunReport, name: str) -> Figure | None:
    """Training and validation loss by step, with the step whose weights were kept."""
    series = {
        "training batches": [(point.step, point.train_loss) for point in run.history],
        "training rows": [(point.step, point.train_subset_loss) for point in run.history],
        "validation rows": [(point.step, point.validation_loss) for point in run.history],
    }
    known = {word: [(step, loss) for step, loss in points if loss is not None] for word, points in series.items()}
    known = {word: points for word, points in known.items() if points}
    if not known:
        return None
    rows: list[Row] = [
        {"step": step, "loss": loss, "rows": word} for word, points in known.items() for step, loss in points
    ]
    colors = {"training batches": FAINT, "training rows": SECOND, "validation rows": ACCENT}
    curves = (
        chart_of(rows)
        .mark_line(interpolate="monotone", strokeWidth=2)
        .encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(grid=False, tickCount=5, labelOverlap="greedy")),
            y=alt.Y("loss:Q", title="loss, nats a token", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
            color=alt.Color(
                "rows:N",
                scale=alt.Scale(domain=list(known), range=[colors[word].light for word in known]),
                legend=alt.Legend(columns=2, columnPadding=24, labelLimit=220),
            ),
            strokeDash=alt.StrokeDash(
                "rows:N", scale=alt.Scale(domain=list(known), range=[_DASHES[word] for word in known])
            ),
        )
    )
    nearest = alt.selection_point(name="nearest", nearest=True, on="pointerover", fields=["step"], empty=False)
    points = (
        chart_of(rows)
        .mark_point(filled=True, size=60, color=INK.light)
        .encode(
            x="step:Q",
            y="loss:Q",
            opacity=alt.condition(nearest, alt.value(1), alt.value(0)),
            tooltip=[alt.Tooltip("rows:N"), alt.Tooltip("step:Q", format=","), alt.Tooltip("loss:Q", format=".4f")],
        )
        .add_params(nearest)
    )
    layers = [curves, points]
    if run.best_step is not None:
        best = chart_of([{"step": run.best_step, "label": f"kept: step {run.best_step:,}"}])
        left = run.best_step > max(point.step for point in run.history) * 0.6
        layers.append(best.mark_rule(strokeDash=[2, 3], color=MUTED.light).encode(x="step:Q"))
        layers.append(
            best.mark_text(align="right" if left else "left", dx=-6 if left else 6, color=MUTED.light, baseline="top")
            .encode(x="step:Q", y=alt.value(0), text="label:N")
        )  # fmt: skip
    turn = run.divergence
    if turn is not None and turn.rise > 0 and turn.step != run.best_step:
        layers += _divergence(turn.step, left=turn.step > max(point.step for point in run.history) * 0.6)
    return Figure(
        name=f"{name}-loss",
        title="Loss",
        message=_loss_message(run),
        spec=specification(alt.layer(*layers).properties(height=240)),
        tables=(_history_table(run.history),),
    )


def _divergence(step: int, *, left: bool) -> list[alt.Chart]:
    """The step from which on the validation loss rises, marked at the bottom: the kept step is marked at the top."""
    at = chart_of([{"step": step, "label": f"diverges: step {step:,}"}])
    text = at.mark_text(align="right" if left else "left", dx=-6 if left else 6, color=INK.light, baseline="bottom")
    return [
        at.mark_rule(color=INK.light, strokeDash=[4, 2]).encode(x="step:Q"),
        text.encode(x="step:Q", y=alt.value(236), text="label:N"),
    ]


def _loss_message(run: RunReport) -> str:
    validation = [(point.step, point.validation_loss) for point in run.history if point.validation_loss is not None]
    if not validation:
        return "The training recorded no validation loss."
    best_step, best = min(validation, key=lambda point: point[1])
    last_step, last = validation[-1]
    if best_step == last_step:
        return f"The validation loss fell until the last step, {last_step:,}, to {best:.3f}."
    if run.divergence is not None and run.divergence.rise > 0:
        turn = run.divergence
        return (
            f"The validation loss was lowest around step {turn.step:,} with {turn.lowest:.3f} and rose by"
            f" {turn.rise:.0%} to {turn.last:.3f} at step {last_step:,}."
        )
    return (
        f"The validation loss was lowest at step {best_step:,} with {best:.3f}, and {last:.3f} at step {last_step:,}."
    )


def _history_table(history: Sequence[HistoryPoint]) -> Table:
    return Table(
        caption="Losses in nats a token, by step",
        header=("step", "training batches", "training rows", "validation rows"),
        rows=tuple(
            (
                f"{point.step:,}",
                *(
                    units.ABSENT if loss is None else f"{loss:.4f}"
                    for loss in (point.train_loss, point.train_subset_loss, point.validation_loss)
                ),
            )
            for point in history
        ),
        text_columns=(),
    )
