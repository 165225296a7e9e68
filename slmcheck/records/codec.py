"""Records to JSON values and back, by their type annotations.

Only what the records use is supported: dataclasses, str, int, float, bool, None, Path, Literal, unions with None,
tuple[X, ...], Mapping[str, X] and the open JSON type. Unknown keys are an error, so that a file of a newer version is
never half read.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from slmcheck.errors import StoreError

if TYPE_CHECKING:
    Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
else:
    Json = object  # type hints are evaluated below, where a recursive alias would not end

Record = TypeVar("Record")


def to_json(value: object) -> Any:
    """The JSON value of a record, with its fields in declared order.

    Raises:
        TypeError: If a value is of a type that records do not use.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return value.as_posix()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (frozenset, set)):
        return sorted(to_json(item) for item in value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [to_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} is no part of a record")


def from_json(kind: type[Record], value: Any) -> Record:
    """A record of type `kind` from what `to_json` gave.

    Raises:
        StoreError: If a field is unknown, missing or of another type.
    """
    return typing.cast("Record", _read(kind, value, kind.__name__))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, value: Any, where: str) -> Any:
    if kind is object:
        return value
    if dataclasses.is_dataclass(kind):
        return _read_record(typing.cast("type", kind), value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments, value, where)
    if origin is Literal:
        return value if value in arguments else _fail(where, f"one of {arguments}", value)
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else _fail(where, "a list", value)
        if arguments[0] in (str, int) and all(type(item) is arguments[0] for item in items):
            return tuple(items)  # ids, hashes and answers by the thousand
        return tuple(_read(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(items))
    if origin is not None and issubclass(origin, Mapping):
        entries = value if isinstance(value, Mapping) else _fail(where, "a mapping", value)
        return {key: _read(arguments[1], item, f"{where}.{key}") for key, item in entries.items()}
    if kind is Path:
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    is_kind = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return value if is_kind else _fail(where, kind.__name__, value)


def _read_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    error: StoreError | None = None
    for argument in arguments:
        if argument is type(None):
            continue
        try:
            return _read(argument, value, where)
        except StoreError as failure:
            error = failure
    raise error or StoreError(f"{where}: null is not allowed")


def _read_record(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        _fail(where, "a mapping", value)
    hints = _hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise StoreError(
            f"{where} has unknown fields: {', '.join(unknown)}.\n"
            "It was written by a newer slmcheck: upgrade to read it."
        )
    try:
        return kind(**{name: _read(hints[name], item, f"{where}.{name}") for name, item in value.items()})
    except TypeError as error:
        raise StoreError(f"{where} is incomplete: {error}.") from error


def _fail(where: str, expected: str, value: Any) -> Any:
    raise StoreError(f"{where} is {value!r}; expected {expected}.")
