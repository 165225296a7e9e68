"""Files -> rows: JSON, JSONL, CSV, TSV and Parquet, every row with its line, every fault with its line."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from slmcheck.data.problems import Problem
from slmcheck.data.sources import Source, parse_source, slice_of
from slmcheck.errors import DataError, MissingExtraError
from slmcheck.records import Json


@dataclass(frozen=True)
class Row:
    """One parsed row and where it stands."""

    values: Mapping[str, Json]
    where: str
    """`file:line`; for Parquet and hub data sets the number of the row."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of some sources in order, and what is wrong with them."""

    rows: tuple[Row, ...] = ()
    problems: tuple[Problem, ...] = ()
    identity: Json = None
    """What stands for the rows in a key where they come from a hub; None where the rows themselves do."""


_Item = Row | Problem
_SHOWN = 3


def read_sources(sources: Sequence[str], directory: Path, split: str) -> Table:
    """All rows of `sources`, in order; what cannot be read is a problem of the table."""
    rows: list[Row] = []
    problems: list[Problem] = []
    identities: list[Json] = []
    for text in sources:
        try:
            source = parse_source(text, directory)
            table = read_file(source) if source.path is not None else _read_hub(source)
        except DataError as error:
            problems.append(Problem(where="", text=str(error).rstrip(".").replace("\n", " "), split=split))
            continue
        rows += table.rows
        problems += [Problem(where=item.where, text=item.text, split=split) for item in table.problems]
        identities.append(table.identity)
        if not table.rows and not table.problems:
            problems.append(Problem(where=source.shown, text=_empty(source), split=split))
    hub = any(identity is not None for identity in identities)
    return Table(rows=tuple(rows), problems=tuple(problems), identity=identities if hub else None)


def read_rows(sources: Sequence[str], directory: Path) -> tuple[Row, ...]:
    """The rows of `sources` where there is no recipe yet.

    Raises:
        DataError: If anything cannot be read; lists every problem with file and line.
    """
    table = read_sources(sources, directory, "")
    if table.problems:
        shown = [f"{problem}." for problem in table.problems[:_SHOWN]]
        more = [f"{len(table.problems) - _SHOWN} more."] if len(table.problems) > _SHOWN else []
        raise DataError("\n".join([f"{', '.join(sources)} cannot be read.", " ".join([*shown, *more])]))
    return table.rows


def read_file(source: Source) -> Table:
    """The rows of one file that its split expression selects."""
    path = source.path
    assert path is not None
    if not path.is_file():
        return Table(problems=(Problem(where=source.shown, text=_missing(path)),))
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        items = list(_parquet(path, source.shown))
    elif suffix in _TEXT_READERS:
        text = _decode(path.read_bytes(), source.shown)
        items = [text] if isinstance(text, Problem) else list(_TEXT_READERS[suffix](text, source.shown))
    else:
        known = ", ".join((*_TEXT_READERS, ".parquet"))
        return Table(problems=(Problem(where=source.shown, text=f"unknown kind of data file (known: {known})"),))
    if source.part is not None:
        items = items[slice_of(source.part, len(items), source.text)]
    return Table(
        rows=tuple(item for item in items if isinstance(item, Row)),
        problems=tuple(item for item in items if isinstance(item, Problem)),
    )


def _read_hub(source: Source) -> Table:
    from slmcheck.data.hub import read_hub

    return read_hub(source)


def _missing(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"file not found: there is no folder {folder}"
    close = get_close_matches(path.name, [item.name for item in folder.iterdir()], n=1)
    return f"file not found in {folder}" + (f" (did you mean '{close[0]}'?)" if close else "")


def _empty(source: Source) -> str:
    return f"the split expression selects no row: {source.text}" if source.part else "the split is empty: it has no row"


def _decode(data: bytes, shown: str) -> str | Problem:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        return Problem(where=f"{shown}:{line}", text=f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8")


def _jsonl(text: str, shown: str) -> Iterator[_Item]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{shown}:{number}"
        try:
            value = json.loads(line, parse_constant=_no_constant)
        except (json.JSONDecodeError, _ConstantError) as error:
            yield Problem(where=where, text=f"broken JSON: {_reason(error)}")
            continue
        yield _json_row(value, where)


def _json(text: str, shown: str) -> Iterator[_Item]:
    """The elements of a JSON list, decoded one at a time so that each has its line."""
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    at, line, counted = _skip(text, 0), 1, 0
    if text[at : at + 1] != "[":
        yield Problem(where=f"{shown}:1", text="a .json data file is a list of rows: [{...}, {...}]")
        return
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]":
        line += text.count("\n", counted, at)
        counted = at
        try:
            value, at = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, _ConstantError) as error:
            at_line = error.lineno if isinstance(error, json.JSONDecodeError) else line
            yield Problem(where=f"{shown}:{at_line}", text=f"broken JSON: {_reason(error)}")
            return
        yield _json_row(value, f"{shown}:{line}")
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            broken = line + text.count("\n", counted, at)
            yield Problem(where=f"{shown}:{broken}", text="broken JSON: expected ',' or ']' after a row")
            return
    if text[_skip(text, at + 1) :]:
        yield Problem(where=f"{shown}:{text.count(chr(10), 0, at) + 1}", text="broken JSON: text after the list")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


class _ConstantError(ValueError):
    """NaN or Infinity, which Python's reader takes and JSON does not have."""


def _no_constant(name: str) -> Json:
    raise _ConstantError(f"{name} is no JSON value")


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[:1].lower()}{error.msg[1:]} (column {error.colno})"
    return str(error)


def _json_row(value: object, where: str) -> _Item:
    if not isinstance(value, dict):
        return Problem(where=where, text=f"a row is an object {{...}}, not {type(value).__name__}")
    return Row(value, where)


def _csv(text: str, shown: str) -> Iterator[_Item]:
    return _separated(text, shown, ",")


def _tsv(text: str, shown: str) -> Iterator[_Item]:
    return _separated(text, shown, "\t")


def _separated(text: str, shown: str, delimiter: str) -> Iterator[_Item]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        repeated = sorted({name for name in header if header.count(name) > 1})
        if repeated:
            yield Problem(where=f"{shown}:1", text=f"column '{repeated[0]}' appears twice in the header")
            return
        line = reader.line_num + 1
        for cells in reader:
            where, line = f"{shown}:{line}", reader.line_num + 1
            if not cells:
                continue
            if len(cells) != len(header):
                yield Problem(where=where, text=f"the row has {len(cells)} cells; the header has {len(header)}")
                continue
            yield Row(dict(zip(header, cells, strict=True)), where)
    except csv.Error as error:
        yield Problem(where=f"{shown}:{reader.line_num}", text=f"broken CSV: {error}")


_TEXT_READERS: Mapping[str, Callable[[str, str], Iterator[_Item]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
}


def _parquet(path: Path, shown: str) -> Iterator[_Item]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            f"Reading '{shown}' needs pyarrow, which is not installed.\nInstall it: pip install 'slmcheck[train]'"
        ) from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        yield Problem(where=shown, text=f"cannot be read as Parquet: {str(error).splitlines()[0]}")
        return
    for number, values in enumerate(table.to_pylist(), start=1):
        yield as_row(values, f"{shown}:{number}")


def as_row(values: Mapping[str, object], where: str) -> Row | Problem:
    """A row of JSON values from what Arrow gives: NaN is null, dates are ISO text."""
    try:
        return Row({str(name): _plain(value) for name, value in values.items()}, where)
    except TypeError as error:
        return Problem(where=where, text=str(error))


def _plain(value: object) -> Json:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(item) for item in value]
    raise TypeError(f"a value of type {type(value).__name__} cannot be used as text")
