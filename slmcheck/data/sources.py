"""Where rows come from: `data/train.jsonl`, `rows.csv[:80%]`, `org/set@revision#config:train[:4096]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from slmcheck.errors import DataError

FILE_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_SLICE = re.compile(r"^(?P<body>.*?)\[(?P<slice>[^\[\]]*)\]$", re.DOTALL)
_BOUND = re.compile(r"^\s*(?P<number>-?\d+(?:\.\d+)?)\s*(?P<percent>%?)\s*$")
_HUB = re.compile(
    r"^(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
    r"(?:@(?P<revision>[\w./-]+))?(?:#(?P<config>[\w.-]+))?(?::(?P<split>[\w.+\[\]%:-]+))?$"
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One place to read rows from: a file, or a data set of a hub."""

    text: str
    """As the recipe has it."""
    path: Path | None = None
    part: str | None = None
    """The split expression of a file, without its brackets: `:80%`."""
    repository: str | None = None
    revision: str | None = None
    config: str | None = None
    split: str | None = None
    """The split expression of a hub data set: `train[:4096]`."""

    @property
    def shown(self) -> str:
        """How a message names the source: a file without its split expression."""
        return self.text[: self.text.rindex("[")] if self.path is not None and self.part is not None else self.text


def parse_source(text: str, directory: Path) -> Source:
    """What a source expression means, relative to `directory`.

    A text is a file if it has the suffix of a data file or starts with `.` or `/`; else it must be a hub id.

    Raises:
        DataError: If it is neither, or its split expression cannot be read.
    """
    sliced = _SLICE.match(text)
    body, part = (sliced["body"], sliced["slice"]) if sliced else (text, None)
    if body.lower().endswith(FILE_SUFFIXES) or body.startswith((".", "/")):
        if part is not None:
            slice_of(part, 0, text)
        return Source(text=text, path=directory / body, part=part)
    hub = _HUB.match(text)
    if hub is None:
        raise DataError(
            f"Data source '{text}' is neither a file nor a hub data set.\n"
            f"A file ends in {', '.join(FILE_SUFFIXES)}; a hub data set is written org/name:train[:4096]."
        )
    return Source(
        text=text,
        repository=hub["repository"],
        revision=hub["revision"],
        config=hub["config"],
        split=hub["split"] or "train",
    )


def slice_of(expression: str, rows: int, text: str) -> slice:
    """The rows that a split expression such as `:4096`, `90%:` or `10%:20%` selects of `rows` rows.

    Percentages are rounded to the nearest row, as the datasets library does.

    Raises:
        DataError: If the expression is no such thing.
    """
    bounds = expression.split(":")
    if len(bounds) != 2:
        raise _bad_slice(expression, text)
    return slice(*(_bound(bound, rows, expression, text) for bound in bounds))


def _bound(bound: str, rows: int, expression: str, text: str) -> int | None:
    if not bound.strip():
        return None
    found = _BOUND.match(bound)
    if found is None:
        raise _bad_slice(expression, text)
    number = float(found["number"])
    if found["percent"]:
        if abs(number) > 100:
            raise _bad_slice(expression, text)
        return round(rows * number / 100)
    if not number.is_integer():
        raise _bad_slice(expression, text)
    return int(number)


def _bad_slice(expression: str, text: str) -> DataError:
    return DataError(
        f"Split expression '[{expression}]' of '{text}' cannot be read.\n"
        "Write rows or percentages with a colon: [:4096], [90%:], [10%:20%]."
    )
