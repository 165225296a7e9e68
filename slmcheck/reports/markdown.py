"""A report for a pull request: one comment that fits GitHub's limit and that no model output can break out of."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from slmcheck.records import ExampleEvidence, Report, RunReport, VerdictRecord
from slmcheck.reports import units
from slmcheck.reports.decision import decide
from slmcheck.reports.notable import changes_of, decided, effects, notable_examples
from slmcheck.reports.prepared import prepare
from slmcheck.reports.releases import trend_lines
from slmcheck.reports.rows import (
    SYMBOLS,
    by_run,
    explanation,
    facts,
    moment,
    score_name,
    score_rows,
    suite_of,
    verdict_rows,
)
from slmcheck.reports.studies import curve_rows, search_message, trial_header, trial_rows
from slmcheck.reports.text import block, counted, one_line, sentence, visible

LIMIT = 65_000
"""Characters; GitHub refuses a comment of 65,536."""
SHOWN_TRIALS = 20
"""Of a search; the page and report.json have all."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]#~$])")


@dataclass(frozen=True, kw_only=True)
class _Budget:
    """How much of what can be left out is shown; each step down shows less."""

    examples: int
    example_characters: int
    explanations: bool
    run_details: bool
    passing: bool
    left_out: str


_BUDGETS = (
    _Budget(examples=10, example_characters=2000, explanations=True, run_details=True, passing=True, left_out=""),
    _Budget(
        examples=3, example_characters=600, explanations=True, run_details=True, passing=True,
        left_out="Only three shortened examples a run are shown, to stay within the length of a comment.",
    ),
    _Budget(
        examples=0, example_characters=300, explanations=True, run_details=True, passing=True,
        left_out="Examples are left out, to stay within the length of a comment.",
    ),
    _Budget(
        examples=0, example_characters=300, explanations=False, run_details=False, passing=True,
        left_out="Examples, explanations and facts of the runs are left out, to stay within the length of a comment.",
    ),
    _Budget(
        examples=0, example_characters=200, explanations=False, run_details=False, passing=False,
        left_out="Only gates that do not pass are shown, to stay within the length of a comment.",
    ),
)  # fmt: skip


def render(report: Report, limit: int = LIMIT) -> str:
    """The report as GitHub-flavoured Markdown of at most `limit` characters.

    Where it is too long, examples are shortened and left out first, then explanations and facts, then gates that pass;
    what is missing is said at the top.
    """
    report, text = prepare(report), ""
    for budget in _BUDGETS:
        text = _document(report, budget)
        if len(text) <= limit:
            return text
    # The last budget has neither fences nor collapsed sections, so that a cut after any line leaves nothing open.
    note = "\n\nThe rest is left out, to stay within the length of a comment: see report.json.\n"
    whole_lines, length = [], len(note)
    for line in text.split("\n"):
        length += len(line) + 1
        if length > limit:
            break
        whole_lines.append(line)
    return "\n".join(whole_lines) + note


def escape(text: str) -> str:
    """Text on one line that Markdown, its tables and HTML take literally, outside of code."""
    literal = _SPECIAL.sub(r"\\\1", html.escape(one_line(text), quote=False))
    return literal.replace("|", "&#124;").replace("@", "@\u200b")


def code(text: str) -> str:
    """Text on one line as a code span, in which nothing is markup; not for tables."""
    line = one_line(text)
    if not line:
        return ""
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def cell(text: str) -> str:
    """A code span for a table; text with a bar or a backslash, which would end the cell, is escaped instead."""
    return escape(text) if "|" in text or "\\" in visible(text) else code(text)


def fenced(text: str) -> str:
    """Lines as a code block with a fence longer than any run of backticks inside."""
    fence = "`" * max(_longest_run(text) + 1, 3)
    return f"{fence}text\n{visible(text)}\n{fence}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A Markdown table of finished cells; columns of `right` are aligned to the right."""
    rule = ["---:" if index in right else ":---" for index in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (list(header), rule, *rows))


def _document(report: Report, budget: _Budget) -> str:
    decision = decide(report)
    parts = [f"### {SYMBOLS[decision.state]} {escape(decision.line)}"]
    parts += [f"> [!NOTE]\n> {budget.left_out}"] if budget.left_out else []
    parts += [_overview(report, budget)] if report.verdicts else []
    parts += _notable(report, budget)
    parts += _decided(report)
    parts += _changes(report)
    parts += _releases(report)
    if report.next_steps:
        parts += ["#### Next", "\n".join(f"* {code(step)}" for step in report.next_steps)]
    suites: dict[str, list[tuple[str, tuple[VerdictRecord, ...]]]] = {}
    for name, verdicts in by_run(report):
        suites.setdefault(suite_of(name), []).append((name, verdicts))
    runs = {run.name: run for run in report.runs}
    if budget.run_details:
        parts += [
            _suite(suite, [(name, runs.get(name), verdicts) for name, verdicts in members], budget)
            for suite, members in suites.items()
        ]
    closing = [escape(line) for line in ((sentence(report.holm),) if report.holm else ()) + report.plan]
    closing.append(_made(report))
    return "\n\n".join([*parts, "<br>\n".join(closing)]) + "\n"


def _overview(report: Report, budget: _Budget) -> str:
    rows = []
    several = len({verdict.run for verdict in report.verdicts}) > 1
    for row in verdict_rows(report.verdicts):
        if row.verdict.state == "pass" and not budget.passing:
            continue
        name = cell(row.metric) + (" primary" if row.primary else "")
        cells = [f"{row.symbol} {row.word}", *([cell(row.verdict.run)] if several else []), name]
        rows.append([*cells, row.value, row.interval, escape(row.criterion), row.margin])
    header = ["state", *(["run"] if several else []), "gate", "value", "interval", "criterion", "margin"]
    shift = int(several)
    return table(header, rows, right=(2 + shift, 3 + shift, 5 + shift))


def _notable(report: Report, budget: _Budget) -> list[str]:
    examples = notable_examples(report, min(3, budget.examples))
    sentences = [f"* {escape(text)}" for text in effects(report)]
    if not examples and not sentences:
        return []
    listed = ["\n".join(sentences)] if sentences else []
    return ["#### What users would notice", *listed, *(_example(example, budget) for example in examples)]


def _decided(report: Report) -> list[str]:
    lines = [f"* {escape(text)}" for text in decided(report)]
    return ["#### Waived or in quarantine", "\n".join(lines)] if lines else []


def _releases(report: Report) -> list[str]:
    lines = [f"* {code(run.name)}: {escape(line)}" for run in report.runs for line in trend_lines(run)]
    return ["#### Trend of the releases", "\n".join(lines)] if lines else []


def _changes(report: Report) -> list[str]:
    lines = [f"* {code(run.name)}: {escape(change)}" for run in report.runs for change in changes_of(run)]
    return ["#### What changed since the baseline", "\n".join(lines)] if lines else []


def _suite(suite: str, members: list[tuple[str, RunReport | None, tuple[VerdictRecord, ...]]], budget: _Budget) -> str:
    verdicts = [verdict for _, _, found in members for verdict in found]
    good = sum(verdict.state == "pass" for verdict in verdicts)
    title = f"{html.escape(one_line(suite))}: {good} of {counted(len(verdicts), 'gate')} pass"
    parts = [f"<details>\n<summary>{title}</summary>"]
    for name, run, found in members:
        parts.append(f"#### {code(name)}")
        if budget.explanations:
            parts += _explanations(found)
        if run is not None:
            parts += _run(run, budget)
    return "\n\n".join([*parts, "</details>"])


def _explanations(verdicts: tuple[VerdictRecord, ...]) -> list[str]:
    lines = [
        "\n".join([f"{row.symbol} {row.verdict.claim}", *(f"  {line}" for line in explanation(row.verdict))])
        for row in verdict_rows(verdicts)
    ]
    return [fenced("\n".join(lines))] if lines else []


def _run(run: RunReport, budget: _Budget) -> list[str]:
    parts = [table(("fact", ""), [(word, escape(value)) for word, value in facts(run)])]
    if run.scores:
        parts.append(_scores(run))
    if run.gaps:
        parts.append(_gaps(run))
    if run.parity:
        rows = [
            (
                cell(score_name(score)),
                units.value(score.value, score.unit),
                units.interval(score.low, score.high, score.unit),
            )
            for score in run.parity
        ]
        parts.append(table(("parity", "value", "interval"), rows, right=(1, 2)))
    parts += [
        f"**{escape(finding.severity)}: {escape(finding.cause)}.** {escape(finding.summary)} {escape(finding.remedy)}"
        for finding in run.findings
    ]
    parts += _studies(run)
    parts += [f"* {escape(note)}" for note in run.notes]
    shown = run.examples[: budget.examples]
    parts += [_example(example, budget) for example in shown]
    if shown and len(run.examples) > len(shown):
        parts.append(f"{counted(len(run.examples) - len(shown), 'more example')} in report.json.")
    return parts


def _studies(run: RunReport) -> list[str]:
    """The trials of a search and the learning curve."""
    parts = []
    if run.search is not None:
        header, rows = trial_header(run.search), trial_rows(run.search)
        parts.append(escape(search_message(run.search)))
        cells = [[escape(text) for text in row] for row in rows[:SHOWN_TRIALS]]
        parts.append(table([escape(name) for name in header], cells, right=range(1, len(header) - 1)))
    if run.learning_curve is not None:
        curve = run.learning_curve
        header = ("training rows", escape(curve.metric), "interval")
        parts += [escape(curve.summary), table(header, curve_rows(curve), right=(0, 1, 2))]
    return parts


def _scores(run: RunReport) -> str:
    rows = []
    for row in score_rows(run):
        beside = [f"{escape(name)} {units.value(score.value, score.unit)}" for name, score in row.trivial]
        rows.append(
            (
                cell(score_name(row.score)),
                units.value(row.score.value, row.score.unit),
                units.interval(row.score.low, row.score.high, row.score.unit),
                units.value(row.base.value, row.base.unit) if row.base is not None else "",
                ", ".join(beside),
                f"{row.score.n:,}",
            )
        )
    return table(("score", "run", "interval", "base model", "trivial answers", "n"), rows, right=(1, 2, 3, 5))


def _gaps(run: RunReport) -> str:
    rows = [
        (
            cell(gap.metric),
            units.value(gap.train, gap.unit),
            units.value(gap.evaluation, gap.unit),
            units.change(gap.gap, gap.unit),
            units.change_interval(gap.low, gap.high, gap.unit),
            units.change(gap.base_gap, gap.unit) if gap.base_gap is not None else "",
        )
        for gap in run.gaps
    ]
    header = ("overfitting gap", "training rows", "evaluation rows", "gap", "interval", "base model's gap")
    return table(header, rows, right=(1, 2, 3, 4, 5))


def _example(example: ExampleEvidence, budget: _Budget) -> str:
    texts = [("prompt", example.prompt), ("reference", example.reference)]
    texts += [("before", example.old_answer)] if example.old_answer is not None else []
    texts += [("answer", example.answer)] + ([("why", example.note)] if example.note else [])
    width = max(len(word) for word, _ in texts)
    lines = []
    for word, text in texts:
        first, *others = block(text, budget.example_characters).split("\n")
        lines += [f"{word:<{width}}  {first}", *(f"{'':<{width}}  {other}" for other in others)]
    return fenced("\n".join(lines))


def _made(report: Report) -> str:
    parts = [f"slmcheck {report.slmcheck_version}", moment(report.created), report.command]
    parts += [f"{word} {value}" for word, value in report.git.items()]
    return f"<sub>{' · '.join(code(part) for part in parts if part.strip())}</sub>"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
