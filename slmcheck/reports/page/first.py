"""The first screen of the page and the table of gates."""

from __future__ import annotations

from collections.abc import Sequence

from slmcheck.records import OutcomeRecord, Report
from slmcheck.reports import units
from slmcheck.reports.charts.figure import Figure
from slmcheck.reports.decision import Decision, blocking, test_counts
from slmcheck.reports.notable import changes_of, decided, effects, notable_examples
from slmcheck.reports.page.elements import Html, element, lines, scrolling
from slmcheck.reports.page.evidence import figure_grid
from slmcheck.reports.page.examples import example_card
from slmcheck.reports.releases import trend_lines
from slmcheck.reports.rows import STATES, SYMBOLS, VerdictRow, by_run, explanation, verdict_rows
from slmcheck.reports.text import one_line, sentence, visible

_HEADER = ("state", "gate", "value", "interval", "criterion", "margin", "examples")
_WORDS = (0, 1, 4)
_SHOWN_TESTS = 50
_PASSING = ("passed", "waived", "quarantined")
_COMMANDS = ("slmcheck", "pytest", "pip", "git")


def first_screen(report: Report, decision: Decision) -> Html:
    """The decision, its reason, what users would notice, what was waived, what changed, the trend, what to do next."""
    headline = element(
        "h1",
        element("span", SYMBOLS[decision.state], class_="symbol", aria_hidden="true"),
        element("span", decision.headline),
        class_=f"headline state-{decision.state} {decision.choice}",
    )
    aside = [part for part in (_decided(report), _changes(report), _releases(report), _next(report)) if part]
    columns = [_noticed(report), element("div", *aside, class_="aside") if aside else Html("")]
    return element(
        "section",
        headline,
        *([element("p", _capital(decision.reason), class_="reason")] if decision.reason else []),
        _counts(report),
        element("div", *(column for column in columns if column), class_="columns"),
        aria_label="Decision",
        class_="first",
    )


def gate_section(report: Report, figures: Sequence[Figure]) -> Html:
    """Every verdict in a table a run, the chart of their intervals, and what chance makes of them."""
    parts = [element("h2", "Gates")]
    against = {id(verdict) for verdict in blocking(report)}
    for name, verdicts in by_run(report):
        if verdicts:
            parts.append(_gate_table(name, verdict_rows(verdicts), against))
    if not report.verdicts:
        parts.append(element("p", "No comparison was judged in this session."))
    if any(verdict.change is not None for verdict in report.verdicts):
        note = "An interval with signs is of the change against the other score; one without is of the value itself."
        parts.append(element("p", note, class_="note"))
    parts += [element("p", sentence(report.holm))] if report.holm else []
    parts.append(figure_grid(figures))
    if report.plan:
        items = [element("li", one_line(line)) for line in report.plan]
        parts += [element("h3", "What these suites can see"), element("ul", *items)]
    parts += _other_tests(report)
    return element("section", *parts, id="gates")


def _counts(report: Report) -> Html:
    items = []
    for state in STATES:
        count = sum(verdict.shown == state for verdict in report.verdicts)
        if count:
            symbol = element("span", SYMBOLS[state], aria_hidden="true", class_="symbol")
            items.append(element("li", symbol, element("b", f"{count}"), f" {state}", class_=f"pill state-{state}"))
    tests = test_counts(report)
    if tests:
        items.append(element("li", f"tests: {tests}", class_="pill plain"))
    return element("ul", *items, class_="pills", aria_label="Gates by state") if items else Html("")


def _noticed(report: Report) -> Html:
    examples = notable_examples(report, 3)
    sentences = [element("p", text) for text in effects(report)]
    if not examples and not sentences:
        return Html("")
    cards = [example_card(example) for example in examples]
    return element("section", element("h2", "What users would notice"), *sentences, *cards, class_="noticed")


def _decided(report: Report) -> Html:
    found = decided(report)
    if not found:
        return Html("")
    items = element("ul", *(element("li", text) for text in found), class_="calm")
    return element("section", element("h2", "Waived or in quarantine"), items)


def _releases(report: Report) -> Html:
    found = [(run, trend_lines(run)) for run in report.runs if run.trend]
    parts: list[Html] = []
    for run, texts in found:
        parts += [element("h3", one_line(run.name))] if len(report.runs) > 1 else []
        parts.append(element("ul", *(element("li", text) for text in texts), class_="calm"))
    return element("section", element("h2", "Trend of the releases"), *parts) if parts else Html("")


def _changes(report: Report) -> Html:
    changed = [run for run in report.runs if run.changes]
    parts: list[Html] = []
    for run in changed:
        parts += [element("h3", one_line(run.name))] if len(report.runs) > 1 else []
        parts.append(element("ul", *(element("li", change) for change in changes_of(run)), class_="calm"))
    return element("section", element("h2", "What changed since the baseline"), *parts) if parts else Html("")


def _next(report: Report) -> Html:
    if not report.next_steps:
        return Html("")
    return element(
        "section",
        element("h2", "What to do next"),
        element("ol", *(_step(step) for step in report.next_steps), class_="calm"),
    )


def _step(step: str) -> Html:
    """A step whose commands are set as such: `words: command`, several divided by `|`."""
    parts: list[Html] = []
    for part in one_line(step).split(" | "):
        words, colon, command = part.partition(": ")
        if part.split(" ", 1)[0] in _COMMANDS:
            parts.append(element("code", part, class_="command"))
        elif colon and command.split(" ", 1)[0] in _COMMANDS:
            parts += [element("span", words), element("code", command, class_="command")]
        else:
            parts.append(element("span", part))
    return element("li", *parts)


def _gate_table(name: str, rows: Sequence[VerdictRow], against: set[int]) -> Html:
    """A table that a phone shows as one block a gate; its roles are written out because that takes them away."""
    heads = [
        element("th", word, scope="col", role="columnheader", class_="word" if index in _WORDS else "number")
        for index, word in enumerate(_HEADER)
    ]
    body: list[Html] = []
    for row in rows:
        body += _gate_rows(row, is_against=id(row.verdict) in against)
    caption = one_line(name)
    table = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *heads, role="row"), role="rowgroup"),
        element("tbody", *body, role="rowgroup"),
        class_="gates",
        role="table",
    )
    return scrolling(f"Gates of {caption}", table)


def _gate_rows(row: VerdictRow, *, is_against: bool) -> list[Html]:
    verdict = row.verdict
    symbol = element("span", row.symbol, class_="symbol", aria_hidden="true")
    gate = [element("b", row.metric)]
    gate += [element("span", "primary", class_="tag")] if row.primary else []
    gate += [element("span", "not met", class_="tag strong")] if is_against else []
    gate.append(element("code", one_line(verdict.claim)))
    state = element("span", symbol, row.word, class_="state")
    proof = element("small", "proven" if verdict.proven else "not proven")
    numbers = (row.value, row.interval, row.criterion, row.margin, f"{verdict.n:,}" if verdict.n else units.ABSENT)
    cells = [
        element("td", state, proof, class_="word verdict", role="cell"),
        element("th", *gate, scope="row", class_="word gate", role="rowheader"),
    ]
    for index, text in enumerate(numbers, start=2):
        kind = "word" if index in _WORDS else "number"
        cells.append(element("td", text, class_=f"{kind} {_HEADER[index]}", role="cell", data_label=_HEADER[index]))
    explained = "\n".join(visible(line) for line in explanation(verdict))
    if not explained or (verdict.state == "pass" and verdict.proven):
        return [element("tr", *cells, class_=f"state-{verdict.shown}", role="row")]
    why = element("td", element("div", lines(explained), class_="why"), colspan=len(_HEADER) - 1, role="cell")
    return [
        element("tr", *cells, class_=f"state-{verdict.shown} explained", role="row"),
        element("tr", element("td", role="cell"), why, class_=f"state-{verdict.shown} explanation", role="row"),
    ]


def _other_tests(report: Report) -> list[Html]:
    """Tests that did not pass without a claim that says why."""
    explained = {verdict.test for verdict in blocking(report)}
    others = [
        outcome for outcome in report.outcomes if outcome.outcome not in _PASSING and outcome.test not in explained
    ]
    if not others:
        return []
    items = [_outcome(outcome) for outcome in others[:_SHOWN_TESTS]]
    more = len(others) - len(items)
    items += [element("li", f"{more} more in report.json")] if more else []
    return [element("h3", "Tests that did not pass for another reason"), element("ul", *items, class_="calm")]


def _outcome(outcome: OutcomeRecord) -> Html:
    message = element("div", lines(visible(outcome.message.strip())), class_="why")
    return element("li", element("b", outcome.outcome), " ", element("code", one_line(outcome.test)), message)


def _capital(text: str) -> str:
    """The sentence with a capital first letter, unless it begins with a name such as `rougeL` or `f1`."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text
