"""A report for the terminal: legible at 80 columns, without colour and in a log file."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from itertools import pairwise

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from slmcheck.records import (
    ExampleEvidence,
    GapRecord,
    HistoryPoint,
    Report,
    RunReport,
    ScoreRecord,
    ShownState,
    VerdictRecord,
)
from slmcheck.reports import units
from slmcheck.reports.decision import decide
from slmcheck.reports.notable import changes_of, decided, effects, notable_examples, worth
from slmcheck.reports.prepared import prepare
from slmcheck.reports.releases import trend_lines
from slmcheck.reports.rows import SYMBOLS, by_run, explanation, facts, score_name, score_rows, verdict_rows
from slmcheck.reports.studies import search_message
from slmcheck.reports.text import block, one_line, sentence, visible

STYLES: dict[ShownState, str] = {
    "pass": "green",
    "fail": "red",
    "inconclusive": "yellow",
    "accepted": "blue",
    "waived": "magenta",
    "quarantined": "magenta",
}
BARS = "▁▂▃▄▅▆▇█"
SHOWN_EXAMPLES = 3
EXAMPLE_CHARACTERS = 600


def render(report: Report, width: int, color: bool) -> str:
    """The report as text of at most `width` columns; with `color`, with ANSI escapes of the standard colours."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
    )
    console.print(document(report))
    return "\n".join(line.rstrip() for line in buffer.getvalue().rstrip("\n").split("\n")) + "\n"


def export_svg(report: Report, width: int = 96, title: str = "slmcheck run suites") -> str:
    """The coloured terminal report as an SVG picture that loads nothing from elsewhere."""
    console = Console(
        file=io.StringIO(), width=width, record=True, force_terminal=True, color_system="truecolor", emoji=False
    )
    console.print(document(report), markup=False, highlight=False)
    picture = console.export_svg(title=visible(title), theme=SVG_EXPORT_THEME, unique_id="slmcheck")
    return re.sub(r"@font-face \{.*?\}\n?", "", picture, flags=re.DOTALL)


def document(report: Report) -> Group:
    """The parts of the terminal report, for a console of any width."""
    report = prepare(report)
    decision = decide(report)
    parts: list[RenderableType] = [
        Text(f"{SYMBOLS[decision.state]} {decision.line}", style=f"bold {STYLES[decision.state]}")
    ]
    runs = {run.name: run for run in report.runs}
    for name, verdicts in by_run(report):
        parts += ["", Text(one_line(name), style="bold"), *_run(runs.get(name), verdicts)]
    parts += _examples(report)
    closing = _labelled("Decided", decided(report))
    closing += _labelled("Chance", (sentence(report.holm),) if report.holm else ())
    closing += _labelled("Plan", report.plan)
    if closing:
        parts += ["", *closing]
    if report.next_steps:
        parts += ["", Text("Next", style="bold"), *(_marked("→", step) for step in report.next_steps)]
    return Group(*parts)


def sparkline(values: Sequence[float], columns: int = 20) -> str:
    """Values as bars of eight heights, lowest to highest; more values than columns are averaged."""
    if not values:
        return ""
    count = min(columns, len(values))
    ends = [round(index * len(values) / count) for index in range(count + 1)]
    means = [sum(values[start:end]) / (end - start) for start, end in pairwise(ends)]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(BARS[min(int((mean - low) / span * len(BARS)), len(BARS) - 1)] for mean in means)


def _run(run: RunReport | None, verdicts: tuple[VerdictRecord, ...]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if run is not None:
        parts.append(Padding(Text(" · ".join(_short_facts(run)), style="dim"), (0, 0, 0, 2)))
    if verdicts:
        parts += ["", _verdict_table(verdicts), *_legend(verdicts), *_explanations(verdicts)]
    if run is None:
        return parts
    parts += ["", *_score_table(run)] if run.scores else []
    details = _labelled("Loss", _losses(run.history, run.best_step))
    details += _labelled("Gap", [_gap(gap) for gap in run.gaps])
    details += _labelled("Parity", [_parity(score) for score in run.parity])
    details += _labelled("Located", [f"{one.precision}: {one_line(one.sentence)}" for one in run.locations])
    details += _labelled(
        "Found", [f"{one_line(finding.cause)}: {one_line(finding.summary)}" for finding in worth(run.findings)]
    )
    details += _labelled("Remedy", [finding.remedy for finding in worth(run.findings) if finding.remedy])
    details += _labelled("Search", [search_message(run.search)] if run.search is not None else [])
    details += _labelled("Rows", [run.learning_curve.summary] if run.learning_curve is not None else [])
    details += _labelled("Changed", changes_of(run))
    details += _labelled("Trend", trend_lines(run))
    details += _labelled("Note", run.notes)
    return parts + (["", *details] if details else [])


def _short_facts(run: RunReport) -> list[str]:
    wanted = ("base model", "trainer", "rows", "steps", "time", "peak memory")
    found = dict(facts(run))
    return [found[word] for word in wanted if word in found]


def _verdict_table(verdicts: tuple[VerdictRecord, ...]) -> Table:
    table = _table("state", "metric", ">value", ">interval", "criterion", ">margin")
    for row in verdict_rows(verdicts):
        table.add_row(
            Text(f"{row.symbol} {row.word}", style=STYLES[row.verdict.shown]),
            Text(row.metric + (" *" if row.primary else "")),
            row.value,
            row.interval.removesuffix(" points"),
            Text(row.criterion),
            row.margin.replace(" points", " pt").replace(" point", " pt"),
        )
    return table


def _legend(verdicts: tuple[VerdictRecord, ...]) -> list[RenderableType]:
    """What the signs of the table mean; only those that occur."""
    meanings = []
    if any(verdict.primary for verdict in verdicts):
        meanings.append("* primary gate")
    if any(verdict.change is not None for verdict in verdicts):
        meanings.append("signed interval: of the change (shares in points)")
    if any(verdict.margin is not None and verdict.unit in ("share", "points") for verdict in verdicts):
        meanings.append("pt: points")
    return [Padding(Text("; ".join(meanings), style="dim"), (0, 0, 0, 1))] if meanings else []


def _explanations(verdicts: tuple[VerdictRecord, ...]) -> list[RenderableType]:
    """What did not pass, as the judge worded it."""
    parts: list[RenderableType] = []
    for row in verdict_rows(verdicts):
        if row.verdict.state != "pass" and row.verdict.lines:
            style = STYLES[row.verdict.shown]
            parts += ["", _marked(row.symbol, row.verdict.lines[0], style)]
            parts += [_marked(" ", line) for line in explanation(row.verdict)[1:]]
    return parts


def _score_table(run: RunReport) -> list[RenderableType]:
    """Scores with those of the base model and of trivial answers beside them."""
    rows = score_rows(run)
    trivial = list(dict.fromkeys(name for row in rows for name, _ in row.trivial))
    has_base = any(row.base is not None for row in rows)
    table = _table(
        "score",
        ">run",
        ">interval",
        *([">base model"] if has_base else []),
        *(f">{one_line(name, 20)}" for name in trivial),
    )
    for row in rows:
        score, others = row.score, dict(row.trivial)
        cells = [units.value(score.value, score.unit), units.interval(score.low, score.high, score.unit)]
        beside = ([row.base] if has_base else []) + [others.get(name) for name in trivial]
        cells += [units.value(other.value, other.unit) if other is not None else "" for other in beside]
        table.add_row(Text(score_name(score)), *cells)
    return [table]


def _losses(history: tuple[HistoryPoint, ...], best_step: int | None) -> list[str]:
    lines = []
    for word, points in (
        ("train", [(point.step, point.train_loss) for point in history]),
        ("validation", [(point.step, point.validation_loss) for point in history]),
    ):
        known = [(step, loss) for step, loss in points if loss is not None]
        if not known:
            continue
        line = f"{word:<10} {sparkline([loss for _, loss in known])} {known[0][1]:.3f} → {known[-1][1]:.3f}"
        best = [loss for step, loss in known if step == best_step]
        if word == "validation" and best:
            line += f", best {best[0]:.3f} at step {best_step:,}"
        lines.append(line)
    return lines


def _gap(gap: GapRecord) -> str:
    line = (
        f"{one_line(gap.metric)} {units.value(gap.train, gap.unit)} on training rows,"
        f" {units.value(gap.evaluation, gap.unit)} on evaluation rows: gap {units.change(gap.gap, gap.unit)}"
    )
    if gap.low is not None or gap.high is not None:
        line += f" ({units.change_interval(gap.low, gap.high, gap.unit, with_unit=False)})"
    if gap.base_gap is not None:
        line += f"; base model {units.change(gap.base_gap, gap.unit, with_unit=False)}"
    if gap.beyond_base is not None:
        line += f", beyond it {units.change(gap.beyond_base, gap.unit, with_unit=False)}"
    return line


def _parity(score: ScoreRecord) -> str:
    ends = units.interval(score.low, score.high, score.unit)
    return f"{score_name(score)} {units.value(score.value, score.unit)}" + (
        f" ({ends})" if ends != units.ABSENT else ""
    )


def _examples(report: Report) -> list[RenderableType]:
    examples, sentences = notable_examples(report, SHOWN_EXAMPLES), effects(report)
    if not examples and not sentences:
        return []
    parts: list[RenderableType] = ["", Text("What users would notice", style="bold")]
    parts += [Padding(Text(one_line(text)), (0, 0, 0, 2)) for text in sentences]
    parts += [""] if sentences and examples else []
    for index, example in enumerate(examples):
        parts += ([""] if index else []) + [_example(example)]
    return parts


def _example(example: ExampleEvidence) -> Padding:
    rows = [("prompt", example.prompt), ("reference", example.reference)]
    rows += [("before", example.old_answer)] if example.old_answer is not None else []
    rows += [("answer", example.answer)] + ([("why", example.note)] if example.note else [])
    grid = _grid(width=9)
    for word, text in rows:
        grid.add_row(word, Text(block(text, EXAMPLE_CHARACTERS)))
    return Padding(grid, (0, 0, 0, 2))


def _labelled(word: str, lines: Sequence[str]) -> list[RenderableType]:
    """Lines with one word before the first of them."""
    grid = _grid(width=8)
    for index, line in enumerate(lines):
        grid.add_row(word if index == 0 else "", Text(visible(line).replace("\n", " ")))
    return [Padding(grid, (0, 0, 0, 2))] if lines else []


def _marked(symbol: str, text: str, style: str = "") -> Padding:
    """A line with a hanging symbol."""
    grid = _grid(width=1)
    grid.add_row(Text(symbol, style=style), Text(one_line(text), style=style))
    return Padding(grid, (0, 0, 0, 2))


def _grid(width: int) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True, width=width)
    grid.add_column(overflow="fold")
    return grid


def _table(*columns: str) -> Table:
    """A table without lines; a column whose name starts with `>` is aligned to the right."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    table.columns[0].no_wrap = True
    return table
