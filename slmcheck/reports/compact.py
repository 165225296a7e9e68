"""The pictures of a diagnosis as lines of text: losses, classes, confusions, slices, calibration, learning curve."""

from __future__ import annotations

from collections.abc import Sequence

from slmcheck.records import RunReport
from slmcheck.reports import units
from slmcheck.reports.terminal import sparkline
from slmcheck.reports.text import one_line

BAR = 20
SHOWN = 8
LABEL = 32


def compact_pictures(run: RunReport) -> str:
    """What the charts of a run show, for a terminal; empty where there is nothing to draw."""
    parts = [_losses(run), _gaps(run), _classes(run), _confusions(run), _slices(run), _reliability(run), _curve(run)]
    return "\n\n".join("\n".join(part) for part in parts if part)


def bar(share: float) -> str:
    """A share of 0 to 1 as a bar of 20 columns."""
    filled = round(BAR * min(1.0, max(0.0, share)))
    return "█" * filled + "░" * (BAR - filled)


def _losses(run: RunReport) -> list[str]:
    lines = []
    for word, losses in (
        ("training", [point.train_loss for point in run.history if point.train_loss is not None]),
        ("validation", [point.validation_loss for point in run.history if point.validation_loss is not None]),
    ):
        if losses:
            lines.append(f"  {word:<12}{sparkline(losses)} {losses[0]:.3f} → {losses[-1]:.3f}")
    turn = run.divergence
    if turn is not None and turn.rise > 0:
        z = f", {turn.z:.1f} standard errors" if turn.z is not None else ""
        lines.append(f"  lowest around step {turn.step:,} with {turn.lowest:.3f}; at the end {turn.rise:+.1%}{z}")
    return ["loss, nats a token", *lines] if lines else []


def _gaps(run: RunReport) -> list[str]:
    return [
        f"gap in {one_line(gap.metric)}: {units.change(gap.gap, gap.unit)}"
        f" ({units.change_interval(gap.low, gap.high, gap.unit)})"
        for gap in run.gaps
    ]


def _classes(run: RunReport) -> list[str]:
    if run.confusion is None:
        return []
    rows = []
    for place, label in enumerate(run.confusion.labels):
        whole, right = sum(run.confusion.counts[place]), run.confusion.counts[place][place]
        if whole:
            rows.append((right / whole, one_line(label, LABEL), f"{right:,} of {whole:,}"))
    lines = [f"  {label:<{LABEL}} {bar(share)} {share:6.1%}  {count}" for share, label, count in sorted(rows)[:SHOWN]]
    return [f"right answers by class{_more(len(rows))}", *lines] if rows else []


def _confusions(run: RunReport) -> list[str]:
    if run.confusion is None:
        return []
    labels, counts = run.confusion.labels, run.confusion.counts
    mistakes = sorted(
        (
            (count, labels[row], labels[column], sum(counts[row]))
            for row in range(len(labels))
            for column, count in enumerate(counts[row])
            if row != column and count
        ),
        key=lambda found: (-found[0], found[1], found[2]),
    )
    lines = [
        f"  {one_line(reference, LABEL)} taken for {one_line(answer, LABEL)}: {count:,} of {whole:,}"
        for count, reference, answer, whole in mistakes[:3]
    ]
    return ["most frequent confusions", *lines] if lines else []


def _slices(run: RunReport) -> list[str]:
    weakest = sorted(run.found_slices, key=lambda score: score.value)
    lines = [
        f"  {one_line(score.slice or '', LABEL):<{LABEL}} {bar(score.value) if score.unit == 'share' else ''}"
        f" {units.value(score.value, score.unit)}  {units.interval(score.low, score.high, score.unit)}  n={score.n:,}"
        for score in weakest[:SHOWN]
    ]
    return [f"{one_line(weakest[0].metric)} by slice{_more(len(weakest))}", *lines] if lines else []


def _reliability(run: RunReport) -> list[str]:
    lines = [
        f"  {one.confidence:6.1%} sure  {bar(one.accuracy)} {one.accuracy:6.1%} right  n={one.n:,}"
        for one in run.reliability
    ]
    return ["calibration", *lines] if lines else []


def _curve(run: RunReport) -> list[str]:
    curve = run.learning_curve
    if curve is None:
        return []
    points: Sequence[str] = [f"{point.rows:,} rows {units.value(point.value, curve.unit)}" for point in curve.points]
    return ["learning curve", f"  {', '.join(points)}", f"  {one_line(curve.summary)}"]


def _more(count: int) -> str:
    return f", the {SHOWN} weakest of {count}" if count > SHOWN else ""
