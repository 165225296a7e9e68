"""The examples of the page: each in full, searchable with the page's script, complete without it."""

from __future__ import annotations

from slmcheck.records import ExampleEvidence, Report, VerdictState
from slmcheck.reports.notable import Flip, flip
from slmcheck.reports.page.elements import Html, element
from slmcheck.reports.rows import SYMBOLS
from slmcheck.reports.text import block, counted, one_line

BYTES = 600_000
"""What all examples together may take of the page; report.json has the others."""
EXAMPLE_CHARACTERS = 4_000
_WORDS: dict[Flip, str] = {
    "worse": "got worse",
    "changed": "changed",
    "wrong": "wrong",
    "differs": "differs from the reference",
    "better": "got better",
    "right": "right",
}
"""In the order in which they are shown."""
_STATES: dict[Flip, VerdictState] = {
    "worse": "fail",
    "changed": "inconclusive",
    "wrong": "fail",
    "differs": "inconclusive",
    "better": "pass",
    "right": "pass",
}


def example_section(report: Report) -> Html:
    """Examples of all runs, flipped ones first, under controls that the script shows."""
    found = _examples(report)
    if not found:
        return Html("")
    cards: list[Html] = []
    room = BYTES
    for run, example in found:
        card = example_card(example, run=run)
        room -= len(card.encode())
        if room < 0:
            break
        cards.append(card)
    kinds = list(dict.fromkeys(flip(example) for _, example in found))
    runs = list(dict.fromkeys(run for run, _ in found))
    slices = sorted({name for _, example in found for name in example.slices})
    left_out = len(found) - len(cards)
    note = f" {counted(left_out, 'further example is', 'further examples are')} in report.json." if left_out else ""
    return element(
        "section",
        element("h2", "Examples"),
        element("p", f"{counted(len(cards), 'example')}, the worst first.{note}", class_="note"),
        _controls(kinds, runs, slices),
        element("div", *cards, class_="cards", id="cards"),
        id="examples",
    )


def example_card(example: ExampleEvidence, *, run: str | None) -> Html:
    """One example in full: what was asked, what is right, what was answered before and now."""
    kind = flip(example)
    state = _STATES[kind]
    symbol = element("span", SYMBOLS[state], class_="symbol", aria_hidden="true")
    head = [element("span", symbol, _WORDS[kind], class_=f"state state-{state}")]
    if run is not None:
        head += [element("span", one_line(run)), element("span", one_line(example.id), class_="id")]
        head += [element("span", one_line(name), class_="tag") for name in example.slices]
    pairs = [("prompt", example.prompt), ("reference", example.reference)]
    pairs += [("before", example.old_answer)] if example.old_answer is not None else []
    pairs += [("answer", example.answer)] + ([("note", example.note)] if example.note else [])
    rows = [
        element("div", element("dt", word), element("dd", block(text, EXAMPLE_CHARACTERS) or "(empty)"), class_=word)
        for word, text in pairs
    ]
    data = (
        {"data_kind": kind, "data_run": one_line(run), "data_slices": "\n".join(map(one_line, example.slices))}
        if run
        else {}
    )
    return element("article", element("p", *head, class_="head"), element("dl", *rows), class_="example", **data)


def _examples(report: Report) -> list[tuple[str, ExampleEvidence]]:
    found: dict[tuple[str, str], tuple[str, ExampleEvidence]] = {}
    for verdict in report.verdicts:
        for example in verdict.examples:
            found.setdefault((verdict.run, example.id), (verdict.run, example))
    for run in report.runs:
        for example in run.examples:
            found.setdefault((run.name, example.id), (run.name, example))
    order = list(_WORDS)
    return sorted(found.values(), key=lambda item: order.index(flip(item[1])))


def _controls(kinds: list[Flip], runs: list[str], slices: list[str]) -> Html:
    search = element("label", "Search ", element("input", type="search", id="search", autocomplete="off"))
    choices = [_choice("kind", "Answer", [(kind, _WORDS[kind]) for kind in kinds])]
    if len(runs) > 1:
        choices.append(_choice("run", "Run", [(one_line(run), one_line(run)) for run in runs]))
    if slices:
        choices.append(_choice("slice", "Slice", [(one_line(name), one_line(name)) for name in slices]))
    status = element("p", role="status", id="found")
    return element("div", search, *choices, status, class_="controls", id="controls", hidden=True)


def _choice(name: str, label: str, options: list[tuple[str, str]]) -> Html:
    entries = [element("option", "all", value=""), *(element("option", word, value=value) for value, word in options)]
    return element("label", f"{label} ", element("select", *entries, id=name))
