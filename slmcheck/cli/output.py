"""What a command gives back, and how it is printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slmcheck.records import Json, Report


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of a command, for people and for programs."""

    text: str
    """For people; empty where the command wrote as it went."""
    document: Mapping[str, Json]
    """For programs: what `--json` prints."""
    status: int = 0
    """Exit status: 0 done, 1 a gate or check is false."""


def say(text: str) -> None:
    """Tell the person at the terminal something that is no result: on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201  the command line prints


def say_notes(path: Path | None) -> None:
    """Tell what changed or fell away where a recipe file is in the form of another tool."""
    from slmcheck.recipes import foreign_notes  # numpy comes with it, which no help needs

    for note in foreign_notes(path) if path is not None else ():
        say(f"{path}: {note}")


def emit(text: str) -> None:
    """Write a result to standard output."""
    print(text, flush=True)  # noqa: T201  the command line prints


def emit_document(document: Mapping[str, Json]) -> None:
    """Write the one JSON object of `--json`."""
    emit(json.dumps(document, indent=1, ensure_ascii=False))


def report_document(report: Report | None) -> Json:
    """A report as its report.json has it; null without one."""
    from slmcheck.reports.json import render

    document: Json = None if report is None else json.loads(render(report))
    return document


def table(rows: Sequence[Sequence[str]], *, header: Sequence[str] = (), right: Sequence[int] = ()) -> str:
    """Rows in aligned columns, two spaces apart.

    Args:
        rows: Cells as text.
        header: Names of the columns; none are shown without it.
        right: Indices of the columns that are aligned on the right.
    """
    lines = [header, *rows] if header else list(rows)
    if not lines:
        return ""
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def indented(text: str, by: str = "  ") -> str:
    """A text with every line moved to the right."""
    return "\n".join(f"{by}{line}" if line else line for line in text.split("\n"))


def megabytes(size: int) -> str:
    """A size in bytes as people read it."""
    if size < 1000:
        return f"{size} bytes"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    raise AssertionError(size)


def duration(seconds: float) -> str:
    """A time as people read it."""
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )
