"""The lines of a baseline's examples file.

    {"id":"0a1b...","ref":"91c2...","answer":"spam","stats":{"accuracy":1,"f1":{"hit:spam":1,"predicted:spam":1,...}}}

Keys in this order: `id`, `split` and `variant` where they are not the run's own test split, `ref`, `answer` (or
`answer_sha256`), `group`, `slices`, `stats`. The statistics of a mean are its value alone where its count is 1; zeros
are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slmcheck.errors import DataError
from slmcheck.records import Json

_CONFLICT_MARKS = (b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")
_SHOWN_PROBLEMS = 3
_DEFAULT_SPLIT = "test"
_KEYS = {"id", "split", "variant", "ref", "answer", "answer_sha256", "group", "slices", "stats"}


@dataclass(frozen=True, kw_only=True)
class BaselineExample:
    """What one example contributed to the accepted scores."""

    id: str
    split: str = _DEFAULT_SPLIT
    variant: str = ""
    reference: str | None = None
    """Hash of the reference."""
    answer: str | None = None
    """The answer, its hash in a private baseline, None where only the likelihood was asked."""
    group: str | None = None
    slices: tuple[str, ...] = ()
    statistics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Columns by table; a column that is not there is 0."""


def line_of(example: BaselineExample, *, private: bool) -> str:
    """The line of an example, without its end."""
    value: dict[str, Json] = {"id": example.id}
    if example.split != _DEFAULT_SPLIT:
        value["split"] = example.split
    if example.variant:
        value["variant"] = example.variant
    if example.reference is not None:
        value["ref"] = example.reference
    if example.answer is not None:
        value["answer_sha256" if private else "answer"] = example.answer
    if example.group is not None:
        value["group"] = example.group
    if example.slices:
        value["slices"] = list(example.slices)
    value["stats"] = {table: _written(columns) for table, columns in sorted(example.statistics.items())}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_lines(path: Path, content: bytes, *, private: bool) -> tuple[BaselineExample, ...]:
    """All examples of a file.

    Args:
        path: The file, for messages.
        content: Its bytes.
        private: Whether answers are kept as hashes.

    Raises:
        DataError: If lines are damaged, repeated, or marks of a merge conflict; lists every problem with its line.
    """
    refuse_conflict(path, content, resolve_remedy(path))
    examples: list[BaselineExample] = []
    problems: list[str] = []
    first_line: dict[tuple[str, str, str], int] = {}
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            example = _parse(line, private=private)
        except (ValueError, TypeError, KeyError) as error:
            problems.append(f"{path}:{number}: {error}")
            continue
        place = (example.split, example.variant, example.id)
        if place in first_line:
            problems.append(f"{path}:{number}: example {example.id} stands in line {first_line[place]} already")
        first_line.setdefault(place, number)
        examples.append(example)
    if problems:
        more = f"\n{len(problems) - _SHOWN_PROBLEMS} more." if len(problems) > _SHOWN_PROBLEMS else ""
        raise DataError(
            f"{len(problems)} lines of the baseline's examples cannot be used.\n"
            + "\n".join(problems[:_SHOWN_PROBLEMS])
            + f"{more}\nAfter a merge, judge both sides again: slmcheck baseline resolve RUN. Else restore the file "
            f"(git checkout -- '{path}'), or accept the baseline again."
        )
    return tuple(sorted(examples, key=lambda example: (example.split, example.variant, example.id)))


def parsed_json(path: Path, content: bytes) -> Any:
    """The JSON value of a baseline's header.

    Raises:
        DataError: If it is damaged or holds a merge conflict.
    """
    refuse_conflict(path, content, resolve_remedy(path))
    try:
        return json.loads(content)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise DataError(
            f"{path}:{line}: the baseline is no JSON: {error}.\n"
            f"Restore it (git checkout -- '{path}'), or accept the baseline again."
        ) from error


def refuse_conflict(path: Path, content: bytes, remedy: str) -> None:
    """Refuse a file in which git left both sides of a merge.

    Args:
        path: The file, for the message.
        content: Its bytes.
        remedy: What to do next; the last lines of the message.

    Raises:
        DataError: With the first line that is a mark of a conflict.
    """
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.startswith(_CONFLICT_MARKS):
            mark = line[:7].decode()
            raise DataError(f"{path}:{number}: an unresolved merge conflict ({mark}).\n{remedy}")


def resolve_remedy(path: Path) -> str:
    """What to do about a merge conflict in a baseline."""
    stem = path.name.removesuffix(".examples.jsonl").removesuffix(".json")
    name = stem.removesuffix(".anchor")
    anchor = " --anchor" if name != stem else ""
    return (
        "Two people accepted different runs, and a baseline and its examples belong together.\n"
        f"Judge both again and write one of them: slmcheck baseline resolve {path.parent.parent.name}/{name}{anchor}"
    )


def _written(columns: Mapping[str, float]) -> Json:
    if columns.get("count") == 1.0 and columns.keys() <= {"sum", "count"}:
        return _number(columns.get("sum", 0.0))
    return {name: _number(value) for name, value in columns.items()}


def _number(value: float) -> float | int:
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def _parse(line: bytes, *, private: bool) -> BaselineExample:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    unknown = sorted(value.keys() - _KEYS)
    if unknown:
        raise ValueError(f"'{unknown[0]}' is no field of an example")
    answer_field = "answer_sha256" if private else "answer"
    if not isinstance(value.get("id"), str) or not isinstance(value.get("stats"), dict):
        raise ValueError("'id' (text) and 'stats' (an object) are needed")
    return BaselineExample(
        id=value["id"],
        split=_text(value, "split") or _DEFAULT_SPLIT,
        variant=_text(value, "variant") or "",
        reference=_text(value, "ref"),
        answer=_text(value, answer_field),
        group=_text(value, "group"),
        slices=tuple(str(name) for name in value.get("slices", ())),
        statistics={str(table): _read(columns) for table, columns in value["stats"].items()},
    )


def _text(value: Mapping[str, Any], name: str) -> str | None:
    found = value.get(name)
    if found is not None and not isinstance(found, str):
        raise ValueError(f"'{name}' is {found!r}; text was expected")
    return found


def _read(columns: object) -> Mapping[str, float]:
    if isinstance(columns, int | float) and not isinstance(columns, bool):
        columns = {"sum": columns, "count": 1} if columns else {"count": 1}
    if not isinstance(columns, dict):
        raise ValueError(f"statistics are {columns!r}; a number or an object was expected")
    read = {str(name): float(number) for name, number in columns.items()}
    if not all(math.isfinite(number) for number in read.values()):
        raise ValueError("statistics are not finite")
    return read
