"""Failure texts that may be shown: without texts of hidden examples, wherever they came from, and without escapes.

Our own texts never hold them (`records.disclosure`). What pytest adds may: the two sides of a plain assert on answers,
captured output of a test that prints a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from slmcheck.errors import DataError, SlmcheckError
from slmcheck.evaluation import Run
from slmcheck.evaluation.views import View
from slmcheck.pytest_plugin.recorder import EXAMPLES
from slmcheck.records import Example, Recipe
from slmcheck.records.disclosure import HIDDEN, Disclosure, unquoted
from slmcheck.reports.text import visible

_SHORTEST = 4


def conceal(item: pytest.Item, report: pytest.TestReport) -> None:
    """Make the report of a failed test fit to be shown: without texts of hidden examples, without terminal escapes.

    What a test prints itself stays as it is where examples may be shown.
    """
    outcome = getattr(item, "funcargs", {}).get("_slm_outcome")
    run = outcome.run if outcome is not None else None
    found = str(report.longrepr or "")
    fit = found
    if run is not None and run.disclosure.level != "full":
        texts = _texts_of(run)
        fit = _without_quotations(_scrubbed(found, texts), run.disclosure)
        report.sections = [(name, _scrubbed(text, texts)) for name, text in report.sections]
    # pytest compares long texts line by line as they are, and a model may answer with anything.
    fit = visible(fit)
    if fit != found:
        report.longrepr = fit


def mark(item: pytest.Item, run: Run) -> None:
    """Tell the controller that the examples of a test's suite are hidden."""
    if run.disclosure.level != "full":
        item.user_properties.append((EXAMPLES, run.disclosure.level))


def said(error: SlmcheckError, recipe: Recipe) -> str:
    """The message of an error about a recipe's rows, without quoting them where the suite hides them."""
    if not isinstance(error, DataError):
        return str(error)
    return unquoted(str(error), Disclosure(level=recipe.examples))


def _scrubbed(text: str, texts: list[str]) -> str:
    for hidden in texts:
        if hidden in text:
            text = text.replace(hidden, HIDDEN)
    return text


def _without_quotations(text: str, disclosure: Disclosure) -> str:
    """Pytest shortens long texts in the middle (`'Dear M...sincerely'`), so what its lines quote goes as a whole."""
    return "\n".join(unquoted(line, disclosure) if line.startswith("E ") else line for line in text.split("\n"))


def _texts_of(run: Run) -> list[str]:
    """Every text of the data, line by line as pytest compares them, the longest first."""
    splits = run.splits
    examples = (*splits.train, *splits.validation, *splits.test)
    found = {line.strip() for text in (*_of_rows(examples), *_answers(run)) for line in (text, *text.splitlines())}
    labels = run.disclosure.labels
    hidden = {text for text in found if len(text) >= _SHORTEST and text not in labels}
    return sorted(hidden | {repr(text)[1:-1] for text in hidden}, key=len, reverse=True)


def _of_rows(examples: tuple[Example, ...]) -> Iterator[str]:
    for example in examples:
        yield from (example.prompt, *example.references)
        yield from (value for value in (example.row or {}).values() if isinstance(value, str))


def _answers(run: Run) -> Iterator[str]:
    view = View(run.subject, run.splits, replace(run.workspace, offline=True))
    try:
        yield from (found.prediction or "" for found in view.predictions())
    except SlmcheckError:
        return  # nothing was answered yet, so nothing can be shown
