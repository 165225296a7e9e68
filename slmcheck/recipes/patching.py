"""A recipe with other values in some of its fields, by their dotted names."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import replace

from slmcheck.errors import RecipeError
from slmcheck.recipes.documents import node_of
from slmcheck.recipes.structure import NOT_IN_FILES, FieldPath, FieldProblem, StructureReader, suggestion
from slmcheck.records import DataSpec, EvaluationSpec, Json, Recipe

_RECORDS: Mapping[str, type] = {"data": DataSpec, "evaluation": EvaluationSpec}
_MAPPINGS = ("options", "class_weights")
_RIVALS: Mapping[str, tuple[str, Json]] = {
    "num_train_epochs": ("max_steps", None),
    "max_steps": ("num_train_epochs", None),
    "warmup_ratio": ("warmup_steps", 0),
    "warmup_steps": ("warmup_ratio", 0.0),
    "bf16": ("fp16", False),
    "fp16": ("bf16", False),
}
"""Fields of which a recipe gives one or the other, and the value that stands for not giving it."""


def patched(recipe: Recipe, patch: Mapping[str, Json]) -> Recipe:
    """The recipe with other values; only their types are checked, `slmcheck.recipes.check` looks at the rest.

    Args:
        recipe: The recipe.
        patch: Dotted name of a field and its value: `learning_rate`, `options.r`, `data.max_length`.

    Raises:
        RecipeError: If a field is unknown or a value of another type; lists every problem.
    """
    found, problems = recipe, list[FieldProblem]()
    for name, value in patch.items():
        changed = _with_value(found, name, value)
        if isinstance(changed, Recipe):
            found = changed
        else:
            problems += changed
    if problems:
        raise RecipeError("\n".join(f"{recipe.name}: {problem.text}." for problem in problems))
    return found


def field_problem(name: str) -> str | None:
    """Why a dotted name is no field of a recipe, as a clause with what was probably meant; None where it is one."""
    path = tuple(name.split("."))
    if path[0] in _MAPPINGS and len(path) > 1:
        return None
    kind: type = Recipe if len(path) == 1 else _RECORDS.get(path[0], Recipe)
    known = {item.name for item in dataclasses.fields(kind)} - NOT_IN_FILES
    if path[-1] in known and (len(path) == 1 or (len(path) == 2 and path[0] in _RECORDS)):
        return None
    hint = suggestion(path[:-1], path[-1], sorted(known))
    return f"unknown field '{name}'" + (f"; {hint}" if hint else "")


def _with_value(recipe: Recipe, name: str, value: Json) -> Recipe | list[FieldProblem]:
    path = tuple(name.split("."))
    unknown = field_problem(name)
    if unknown is not None:
        return [FieldProblem(path, unknown)]
    if path[0] == "options":
        return replace(recipe, options={**recipe.options, ".".join(path[1:]): value})
    if path[0] == "class_weights" and len(path) > 1:
        weights = dict(recipe.class_weights)
        reader = StructureReader()
        weights[".".join(path[1:])] = reader.value(float, node_of(value), path)
        return reader.problems or replace(recipe, class_weights=weights)
    if len(path) == 1:
        read = _read(Recipe, path, value)
        return read if isinstance(read, list) else replace(recipe, **{path[0]: read[0]})
    read = _read(_RECORDS[path[0]], path, value)
    if isinstance(read, list):
        return read
    inner = replace(getattr(recipe, path[0]), **{path[1]: read[0]})
    return replace(recipe, **{path[0]: inner})


def _read(kind: type, path: FieldPath, value: Json) -> tuple[typing.Any] | list[FieldProblem]:
    """A value as the field holds it, in a tuple of one; or what is wrong with it."""
    reader = StructureReader()
    hint = typing.get_type_hints(kind)[path[-1]]
    found = reader.value(hint, node_of(value), path)
    return reader.problems or (found,)


def with_rivals(patch: Mapping[str, Json]) -> dict[str, Json]:
    """The patch, with the fields that do not go with it taken out: epochs in place of updates, for one."""
    unset: dict[str, Json] = {}
    for name, (rival, nothing) in _RIVALS.items():
        if patch.get(name) and rival not in patch:
            unset[rival] = nothing
    return {**unset, **patch}
