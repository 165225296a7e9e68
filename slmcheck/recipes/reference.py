"""The page docs/reference/recipe.md, from the dataclasses of a recipe.

Write it anew with: python -m slmcheck.recipes.reference > docs/reference/recipe.md
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field
from itertools import pairwise
from types import NoneType

from slmcheck.recipes.rules import BOUNDS
from slmcheck.recipes.structure import FILE_FIELDS, NOT_IN_FILES
from slmcheck.records import (
    DataSpec,
    EvaluationSpec,
    Recipe,
    SearchRange,
    SearchSpec,
    SlicePredicate,
    Stage,
    stage_of,
    to_json,
)

_STAGES: Mapping[Stage, str] = {
    "training": "T",
    "evaluation": "E",
    "environment": "",
    "display": "D",
}
_TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false", object: "any value"}
_HEADER = "| field | kind | default | stage | meaning |\n| --- | --- | --- | --- | --- |"
_INTRODUCTION = """# Recipe fields

A recipe is a YAML, TOML or JSON file beside a suite. Every field is listed here; unknown fields are errors.

Stage says what a field decides: **T** the training (a change trains again), **E** the evaluation (a change predicts or
measures again), **D** the display only. Fields without a stage say where the work is done.

<!-- Made by `python -m slmcheck.recipes.reference`; a test keeps it true. -->
"""


def reference_page() -> str:
    """The page as Markdown."""
    sections = [
        ("Top level", (), Recipe),
        ("`data`", ("data",), DataSpec),
        ("`data.slices.<name>`", ("data", "slices"), SlicePredicate),
        ("`evaluation`", ("evaluation",), EvaluationSpec),
        ("`search`", ("search",), SearchSpec),
        ("`search.space.<field>`", ("search", "space"), SearchRange),
    ]
    parts = [_INTRODUCTION]
    for title, path, kind in sections:
        summary = inspect.cleandoc(kind.__doc__ or "")
        rows = "\n".join(_rows(kind, path))
        parts.append(f"## {title}\n\n{summary}\n\n{_HEADER}\n{rows}\n")
    return "\n".join(parts)


def _rows(kind: type, path: tuple[str, ...]) -> Iterator[str]:
    hints, documented = typing.get_type_hints(kind), _docstrings(kind)
    for item in dataclasses.fields(kind):
        if item.name in NOT_IN_FILES:
            continue
        name = next((written for written, own in FILE_FIELDS.items() if own == item.name), item.name)
        bounds = BOUNDS.get((*path, item.name))
        kind_text = _kind(hints[item.name]) + (f", {bounds}" if bounds else "")
        stage = _STAGES[stage_of(item)] if item.metadata else "E"
        cells = [f"`{name}`", kind_text, _default(item), stage, documented[item.name]]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _docstrings(kind: type) -> dict[str, str]:
    """The text under each field of a dataclass."""
    tree = ast.parse(inspect.cleandoc(inspect.getsource(kind)))
    body = typing.cast("ast.ClassDef", tree.body[0]).body
    found = {}
    for statement, after in pairwise(body):
        text = after.value if isinstance(after, ast.Expr) else None
        if isinstance(statement, ast.AnnAssign) and isinstance(text, ast.Constant):
            found[typing.cast("ast.Name", statement.target).id] = " ".join(str(text.value).split())
    return found


def _default(item: Field[object]) -> str:
    if item.default is not MISSING:
        return "" if item.default in (None, ()) else f"`{_written(item.default)}`"
    return "required" if item.default_factory is MISSING else ""


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(to_json(value))


def _kind(hint: object) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _TYPES:
        return _TYPES[hint]
    if origin is typing.Literal:
        return ", ".join(f"`{item}`" for item in arguments)
    if origin is tuple:
        return "list" if arguments[0] is object else f"{_kind(arguments[0])} or a list"
    if dataclasses.is_dataclass(hint) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return "mapping"
    kinds = [_kind(item) for item in arguments if item is not NoneType]
    return " or ".join(dict.fromkeys(kinds))


if __name__ == "__main__":
    sys.stdout.write(reference_page())
