"""Nodes of a recipe file -> records, by their type annotations; every misfit is noted, none stops the reading."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

from slmcheck.recipes.documents import Node
from slmcheck.records import DataSpec, EvaluationSpec, Recipe

FieldPath = tuple[str, ...]

FILE_FIELDS = {"in": "is_in"}
"""Names that a file uses where Python cannot."""
NOT_IN_FILES = frozenset({"name", "path"})
OTHER_NAMES = {
    "model": "base_model",
    "model_name_or_path": "base_model",
    "lr": "learning_rate",
    "epochs": "num_train_epochs",
    "batch_size": "per_device_train_batch_size",
    "per_device_batch_size": "per_device_train_batch_size",
    "scheduler": "lr_scheduler_type",
    "optimizer": "optim",
    "patience": "early_stopping_patience",
    "max_seq_length": "max_length",
    "max_seq_len": "max_length",
    "label_smoothing_factor": "label_smoothing",
    "template": "text_template",
    "prompt_template": "text_template",
    "valid": "validation",
    "eval": "validation",
    "dataset": "train",
    "label": "answer",
}
"""What others call a field."""


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field of a recipe."""

    path: FieldPath
    text: str
    """A sentence without its final stop that names the field."""
    line: int | None = None


@dataclass
class StructureReader:
    """Reads records from nodes and collects what does not fit."""

    problems: list[FieldProblem] = field(default_factory=list)

    def record(
        self, kind: type, node: Node, path: FieldPath = (), *, extra: Mapping[str, object] = types.MappingProxyType({})
    ) -> Any:
        """A record of type `kind`; None if a field that it needs is missing or wrong.

        Args:
            kind: A dataclass.
            node: The mapping of its fields.
            path: Where the mapping stands in the recipe.
            extra: Fields that come from elsewhere than the file.
        """
        if not isinstance(node.value, Mapping):
            self._note(path, node, f"{_dotted(path)} is {_shown(node)}; expected a mapping of fields")
            return None
        hints, known = _hints(kind), {item.name: item for item in dataclasses.fields(kind)}
        names = [_file_name(name) for name in known if name not in extra and name not in NOT_IN_FILES]
        values, sound = dict(extra), True
        for key, item in node.value.items():
            if key not in names:
                self._unknown(path, key, item, names)
                continue
            name = FILE_FIELDS.get(key, key)
            with self._noting() as misfits:
                values[name] = self.value(hints[name], item, (*path, key))
            if misfits():
                values.pop(name)
                sound = sound and known[name].default is not MISSING
        for name, declared in known.items():
            if name not in values and declared.default is MISSING and declared.default_factory is MISSING:
                if _file_name(name) not in node.value:
                    missing = (*path, _file_name(name))
                    self._note(missing, node, f"{_dotted(missing)} is missing")
                sound = False
        return kind(**values) if sound else None

    def value(self, kind: Any, node: Node, path: FieldPath) -> Any:
        """A value of an annotated type; notes a problem and returns None if the node does not fit."""
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if kind is object:
            return node.plain()
        if dataclasses.is_dataclass(kind):
            return self.record(typing.cast("type", kind), node, path)
        if origin in (typing.Union, types.UnionType):
            return self._union(arguments, node, path)
        if origin is Literal:
            return self._literal(arguments, node, path)
        if origin is tuple:
            return self._tuple(arguments[0], node, path)
        if origin is not None and issubclass(origin, Mapping):
            return self._mapping(arguments[1], node, path)
        if kind in (list, tuple) or (origin is not None and issubclass(origin, Sequence)):
            return self._tuple(arguments[0] if arguments else object, node, path)
        return self._scalar(kind, node, path)

    def _union(self, arguments: tuple[Any, ...], node: Node, path: FieldPath) -> Any:
        kinds = [kind for kind in arguments if kind is not type(None)]
        if node.value is None and len(kinds) < len(arguments):
            return None
        for kind in kinds:
            if _fits(kind, node):
                return self.value(kind, node, path)
        return self.value(kinds[0], node, path)

    def _literal(self, arguments: tuple[Any, ...], node: Node, path: FieldPath) -> Any:
        if node.value in arguments and not isinstance(node.value, bool):
            return node.value
        close = get_close_matches(str(node.value), [str(item) for item in arguments], n=1)
        hint = f"; did you mean '{close[0]}'" if close else ""
        allowed = ", ".join(map(str, arguments))
        return self._note(path, node, f"{_dotted(path)} is {_shown(node)}; expected one of {allowed}{hint}")

    def _tuple(self, kind: Any, node: Node, path: FieldPath) -> Any:
        if isinstance(node.value, tuple):
            return tuple(self.value(kind, item, (*path, str(index))) for index, item in enumerate(node.value))
        if isinstance(node.value, Mapping) or node.value is None:
            return self._note(path, node, f"{_dotted(path)} is {_shown(node)}; expected a list")
        return (self.value(kind, node, path),)

    def _mapping(self, kind: Any, node: Node, path: FieldPath) -> Any:
        if not isinstance(node.value, Mapping):
            return self._note(path, node, f"{_dotted(path)} is {_shown(node)}; expected a mapping")
        return {name: self.value(kind, item, (*path, name)) for name, item in node.value.items()}

    def _scalar(self, kind: Any, node: Node, path: FieldPath) -> Any:
        value, name = node.value, _dotted(path)
        if kind is str:
            if isinstance(value, str):
                return value
            if path[:1] in (("labels",),) and isinstance(value, (bool, int, float)):
                return node.raw or str(value)  # `labels: [yes, no]`: YAML 1.1 reads truth values, a label is text
            return self._note(path, node, f"{name} is {_shown(node)}; expected text")
        if kind is bool:
            return (
                value
                if isinstance(value, bool)
                else self._note(path, node, f"{name} is {_shown(node)}; expected true or false")
            )
        if isinstance(value, str) and (number := _number(value)) is not None:
            return self._note(path, node, f"{name} is text, {_shown(node)}: {_spelling(node, number)}")
        if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        if kind is int and isinstance(value, int) and not isinstance(value, bool):
            return value
        expected = "a whole number" if kind is int else "a number"
        return self._note(path, node, f"{name} is {_shown(node)}; expected {expected}")

    def _unknown(self, path: FieldPath, key: str, node: Node, names: Sequence[str]) -> None:
        hint = suggestion(path, key, names)
        whole = _dotted((*path, key))
        self._note((*path, key), node, f"unknown field '{whole}'" + (f"; {hint}" if hint else ""))

    def _note(self, path: FieldPath, node: Node, text: str) -> None:
        self.problems.append(FieldProblem(path, text, node.line))

    @contextmanager
    def _noting(self) -> Iterator[Any]:
        before = len(self.problems)
        yield lambda: len(self.problems) > before


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _file_name(name: str) -> str:
    return next((written for written, field_name in FILE_FIELDS.items() if field_name == name), name)


def _fits(kind: Any, node: Node) -> bool:
    origin = typing.get_origin(kind)
    if isinstance(node.value, tuple):
        return origin is tuple
    if isinstance(node.value, Mapping):
        return dataclasses.is_dataclass(kind) or (origin is not None and origin is not tuple)
    if isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return kind in (int, float)
    if isinstance(node.value, str):
        return kind is str or origin is Literal or (origin is tuple and _number(node.value) is None)
    return kind is bool if isinstance(node.value, bool) else False


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _spelling(node: Node, number: float) -> str:
    if node.raw is None:
        return "write it without quotes"
    mantissa, _, exponent = node.raw.lower().partition("e")
    written = f"{mantissa}.0e{exponent}" if exponent and "." not in mantissa else repr(number)
    return f"YAML 1.1 reads it so; write {written}"


def _shown(node: Node) -> str:
    if isinstance(node.value, Mapping):
        return "a mapping"
    if isinstance(node.value, tuple):
        return "a list"
    if isinstance(node.value, bool):
        return str(node.value).lower()
    return "empty" if node.value is None else repr(node.value)


def _dotted(path: FieldPath) -> str:
    return ".".join(path) if path else "the recipe"


def suggestion(path: FieldPath, key: str, names: Sequence[str]) -> str:
    """Where the field that was meant is: under another name, or at another place."""
    wanted = OTHER_NAMES.get(key, key)
    if wanted in names:
        return f"did you mean '{wanted}'"
    if path == ("search",) and wanted.partition(".")[0] in {item.name for item in dataclasses.fields(Recipe)}:
        return f"'{wanted}' belongs under 'search.space'"
    for place, kind in (((), Recipe), (("data",), DataSpec), (("evaluation",), EvaluationSpec)):
        if place != path and wanted in {_file_name(item.name) for item in dataclasses.fields(kind)} - NOT_IN_FILES:
            return f"'{wanted}' belongs under '{place[0]}'" if place else f"'{wanted}' belongs at the top of the recipe"
    close = get_close_matches(key, names, n=1)
    if close:
        return f"did you mean '{close[0]}'"
    return "" if path == () else f"known here: {', '.join(names)}"
