"""The examples of the page: a table of all of them, complete without the script, which makes it searchable.

Ten thousand rows stay light because they stand in tables of a hundred, whose layout a browser skips until they come
into view; with the script only those near the window are in the page at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from slmcheck.records import ExampleEvidence, Report, VerdictState
from slmcheck.reports.notable import Flip, flip
from slmcheck.reports.page.elements import Html, element
from slmcheck.reports.rows import SYMBOLS, verdict_row
from slmcheck.reports.text import block, counted, one_line

BYTES = 4_400_000
"""What the rows of all examples may take of the page; texts are shortened until they fit."""
EXAMPLE_CHARACTERS = 4_000
ROWS_OF_A_PART = 100
_LIMITS = (EXAMPLE_CHARACTERS, 2_000, 1_000, 700, 500, 350, 250, 180, 120, 60)
"""Characters that are shown of a text: the first of these with which all rows fit."""
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
_VERDICTS = {"r": "right", "w": "wrong", "o": "neither right nor wrong"}
_FLIPS = {"w": "got worse", "b": "got better", "c": "another answer", "s": "the same answer", "n": "not known"}


@dataclass(frozen=True, kw_only=True)
class _Names:
    """Names that rows refer to by their number, which keeps ten thousand of them small."""

    runs: tuple[str, ...]
    slices: tuple[str, ...]
    has_before: bool


def example_section(report: Report) -> Html:
    """Examples of all runs, flipped ones first, under controls that the script shows."""
    found = _examples(report)
    if not found:
        return Html("")
    names = _Names(
        runs=tuple(dict.fromkeys(run for run, _ in found)),
        slices=tuple(sorted({name for _, example in found for name in example.slices})),
        has_before=any(example.old_answer is not None for _, example in found),
    )
    rows, limit = _fitting(found, names)
    notes = [f"{counted(len(rows), 'example')}, the worst first."]
    if limit < EXAMPLE_CHARACTERS:
        notes.append(f"Longer texts are cut to {limit} characters; report.json has them in full.")
    if len(rows) < len(found):
        left_out = counted(len(found) - len(rows), "further example is", "further examples are")
        notes.append(f"{left_out} in report.json.")
    parts = [_part(rows[start : start + ROWS_OF_A_PART], start, names) for start in range(0, len(rows), ROWS_OF_A_PART)]
    return element(
        "section",
        element("h2", "Examples"),
        element("p", " ".join(notes), class_="note"),
        _controls(report, found, names),
        element("div", *parts, class_="cards", id="cards"),
        id="examples",
    )


def example_card(example: ExampleEvidence) -> Html:
    """One example in full: what was asked, what is right, what was answered before and now."""
    pairs = [("prompt", example.prompt), ("reference", example.reference)]
    pairs += [("before", example.old_answer)] if example.old_answer is not None else []
    pairs += [("answer", example.answer)] + ([("note", example.note)] if example.note else [])
    rows = [
        element("div", element("dt", word), element("dd", block(text, EXAMPLE_CHARACTERS) or "(empty)"), class_=word)
        for word, text in pairs
    ]
    kind = flip(example)
    symbol = element("span", SYMBOLS[_STATES[kind]], class_="symbol", aria_hidden="true")
    state = element("span", symbol, _WORDS[kind], class_=f"state state-{_STATES[kind]}")
    head = element("p", state, class_="head")
    return element("article", head, element("dl", *rows), class_="example")


def _examples(report: Report) -> list[tuple[str, ExampleEvidence]]:
    """Every example once a run: with the earlier answer of the baseline, else of a comparison that shows it."""
    found: dict[tuple[str, str], tuple[str, ExampleEvidence]] = {
        (run.name, example.id): (run.name, example) for run in report.runs for example in run.examples
    }
    for verdict in report.verdicts:
        for example in verdict.examples:
            place = (verdict.run, example.id)
            known = found.get(place)
            if known is None:
                found[place] = (verdict.run, example)
            elif known[1].old_answer is None and known[1].old_correct is None:
                found[place] = (verdict.run, replace(example, slices=known[1].slices or example.slices))
    order = list(_WORDS)
    return sorted(found.values(), key=lambda item: order.index(flip(item[1])))


def _fitting(found: Sequence[tuple[str, ExampleEvidence]], names: _Names) -> tuple[list[Html], int]:
    """Rows that fit together, and how many characters of a text they show; at the least limit the last are left out."""
    lengths = [len(text) for _, one in found for text in (one.prompt, one.reference, one.answer, one.old_answer or "")]
    rows: list[Html] = []
    for limit in _LIMITS:
        if limit != _LIMITS[-1] and sum(min(length, limit) for length in lengths) > BYTES:
            continue  # the texts alone are too long
        rows, room = [], BYTES
        for run, example in found:
            row = _row(run, example, names, limit)
            room -= len(row.encode())
            if room < 0:
                break
            rows.append(row)
        if len(rows) == len(found):
            return rows, limit
    return rows, _LIMITS[-1]


def _row(run: str, example: ExampleEvidence, names: _Names, limit: int) -> Html:
    kind = flip(example)
    state = _STATES[kind]
    about = [element("b", f"{SYMBOLS[state]} {_WORDS[kind]}")]
    about += [element("i", one_line(name)) for name in example.slices]
    about += [element("small", one_line(run))] if len(names.runs) > 1 else []
    about.append(element("small", one_line(example.id)))
    texts = [example.prompt, example.reference]
    texts += [example.old_answer or ""] if names.has_before else []
    cells = [element("td", block(text, limit)) for text in texts]
    note = [element("small", one_line(example.note, limit))] if example.note else []
    cells.append(element("td", block(example.answer, limit) or "(empty)", *note))
    return element(
        "tr",
        element("th", *about, scope="row"),
        *cells,
        class_=f"state-{state}",
        data_is=_marks(example, kind),
        data_run=names.runs.index(run) or False,
        data_slices=" ".join(str(names.slices.index(name)) for name in example.slices) or False,
    )


def _marks(example: ExampleEvidence, kind: Flip) -> str:
    """Two letters, of `_VERDICTS` and of `_FLIPS`."""
    verdict = "o" if example.correct is None else ("r" if example.correct else "w")
    if kind in ("worse", "better"):
        return verdict + kind[0]
    if example.old_answer is None:
        return f"{verdict}n"
    return verdict + ("s" if example.old_answer == example.answer else "c")


def _part(rows: Sequence[Html], start: int, names: _Names) -> Html:
    """A table of some rows; its columns have fixed widths, so that the tables of all parts line up."""
    words = ("example", "prompt", "reference", *(("before",) if names.has_before else ()), "answer")
    head = element("tr", *(element("th", word, scope="col") for word in words))
    caption = f"Examples {start + 1:,} to {start + len(rows):,}"
    table = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", *rows),
        class_="examples" if names.has_before else "examples now",
    )
    return element("div", table, class_="part")


def _controls(report: Report, found: Sequence[tuple[str, ExampleEvidence]], names: _Names) -> Html:
    marks = {_marks(example, flip(example)) for _, example in found}
    search = element("label", "Search ", element("input", type="search", id="search", autocomplete="off"))
    choices = [_choice("verdict", "Answer", [(key, word) for key, word in _VERDICTS.items() if _any(marks, 0, key)])]
    flips = [(key, word) for key, word in _FLIPS.items() if _any(marks, 1, key)]
    choices += [_choice("flip", "Since the baseline", flips)] if flips != [("n", _FLIPS["n"])] else []
    if len(names.runs) > 1:
        choices.append(_choice("run", "Run", [(str(place), one_line(run)) for place, run in enumerate(names.runs)]))
    if names.slices:
        slices = [(str(place), one_line(name)) for place, name in enumerate(names.slices)]
        choices.append(_choice("slice", "Slice", slices))
    gates = _gates(report, names)
    choices += [_choice("gate", "Judged by", gates)] if gates else []
    status = element("p", role="status", id="found")
    return element("div", search, *choices, status, class_="controls", id="controls", hidden=True)


def _gates(report: Report, names: _Names) -> list[tuple[str, str]]:
    """Gates whose examples are in the table: run and slice by number, and what the gate is called.

    Gates of exports and of training rows judged other answers than the ones shown.
    """
    found: dict[str, str] = {}
    for verdict in report.verdicts:
        known = verdict.run in names.runs and (verdict.slice is None or verdict.slice in names.slices)
        if not known or verdict.split == "train" or " (" in verdict.metric or verdict.kind in ("finding", "exact"):
            continue
        row = verdict_row(verdict)
        label = f"{row.symbol} {row.word}: {row.metric} {row.criterion}"
        label += f" ({one_line(verdict.run)})" if len(names.runs) > 1 else ""
        place = "" if verdict.slice is None else str(names.slices.index(verdict.slice))
        found.setdefault(label, f"{names.runs.index(verdict.run)},{place}")
    return [(place, label) for label, place in found.items()]


def _any(marks: set[str], position: int, letter: str) -> bool:
    return any(mark[position] == letter for mark in marks)


def _choice(name: str, label: str, options: list[tuple[str, str]]) -> Html:
    entries = [element("option", "all", value=""), *(element("option", word, value=value) for value, word in options)]
    return element("label", f"{label} ", element("select", *entries, id=name))
