"""Everything wrong with some rows, said at once: each problem with its file and line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slmcheck.errors import DataError
from slmcheck.records import Recipe

_SHOWN = 3
"""Problems spelled out in an error; the others are counted and shown by `slmcheck data check`."""


_SHOWN_CHARACTERS = 60


def shortened(text: str) -> str:
    """A value as a message quotes it: one line of 60 characters at most, `...` where more was left out."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 3]}..."


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that makes a row, a file or a split unusable."""

    where: str
    """`data/train.jsonl:37`, or the source alone."""
    text: str
    """A clause without its final stop: `field 'tone' is missing (fields: phrase, label)`."""
    split: str = ""
    """`train`, `validation` or `test`; empty for what concerns the recipe."""

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


class ProblemsError(DataError):
    """A DataError that keeps its problems, so that a command can list them all."""

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def data_error(recipe: Recipe, problems: Sequence[Problem], *, rows: int, expected: str = "") -> ProblemsError:
    """The error that lists `problems` of a recipe's data in at most four lines.

    Args:
        recipe: Whose data it is.
        problems: At least one.
        rows: How many rows were read.
        expected: A sentence that says what every row needs; empty where the problems say it.
    """
    bad = len({problem.where for problem in problems})
    of_rows = rows and all(":" in problem.where for problem in problems)
    if of_rows:
        first = f"{recipe.name}: {bad} of {rows} rows cannot be used."
    else:
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        first = f"{recipe.name}: the data has {count}."
    shown = " ".join(f"{problem}." for problem in problems[:_SHOWN])
    if len(problems) > _SHOWN:
        shown += f" {len(problems) - _SHOWN} more."
    lines = [first, shown]
    if expected and of_rows:
        lines.append(expected)
    if recipe.path is not None:
        lines.append(f"See them all: slmcheck data check {recipe.path}")
    return ProblemsError("\n".join(lines), problems)
