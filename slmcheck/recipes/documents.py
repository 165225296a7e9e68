"""A recipe file -> nodes that know their line: YAML, TOML and JSON alike.

PyYAML is imported only when a YAML file is read.
"""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from slmcheck.errors import RecipeError

if TYPE_CHECKING:
    import yaml

SUFFIXES = (".yaml", ".yml", ".toml", ".json")
Scalar = None | bool | int | float | str


@dataclass(frozen=True)
class Node:
    """A value of a recipe file and the line where it stands."""

    value: Scalar | tuple[Node, ...] | Mapping[str, Node]
    line: int | None = None
    raw: str | None = None
    """A plain scalar as the file has it, before it was read as a number or a truth value."""

    def plain(self) -> object:
        """The value without lines."""
        if isinstance(self.value, tuple):
            return [item.plain() for item in self.value]
        if isinstance(self.value, Mapping):
            return {name: item.plain() for name, item in self.value.items()}
        return self.value


@dataclass(frozen=True)
class Document:
    """What a recipe file says, and what is wrong with it before any field is looked at."""

    root: Node
    problems: tuple[tuple[int | None, str], ...] = ()
    """Line and text: keys that appear twice."""


@dataclass
class _Problems:
    found: list[tuple[int | None, str]] = field(default_factory=list)

    def repeated(self, key: str, line: int, first: int | None) -> None:
        self.found.append((line, f"'{key}' appears twice (first in line {first})"))


def read_document(path: Path) -> Document:
    """A recipe file as nodes.

    Raises:
        RecipeError: If the file is missing, of an unknown kind, not UTF-8, or has a syntax error.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise RecipeError(f"{path}: unknown kind of recipe file.\nA recipe ends in {', '.join(SUFFIXES)}.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such recipe file.") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: byte {error.start} is not UTF-8.\nSave the recipe as UTF-8.") from error
    problems = _Problems()
    reader = {".toml": _read_toml, ".json": _read_json}.get(path.suffix.lower(), _read_yaml)
    root = reader(text, path, problems)
    if not isinstance(root.value, Mapping):
        raise RecipeError(f"{path}: a recipe is a mapping of fields to values, such as `task: classification`.")
    return Document(root, tuple(problems.found))


def node_of(value: object) -> Node:
    """A node without lines, from plain values."""
    if isinstance(value, Mapping):
        return Node({str(name): node_of(item) for name, item in value.items()})
    if isinstance(value, (list, tuple)):
        return Node(tuple(node_of(item) for item in value))
    if isinstance(value, (datetime.date, datetime.time)):
        return Node(value.isoformat())
    assert value is None or isinstance(value, (bool, int, float, str)), type(value)
    return Node(value)


def _read_yaml(text: str, path: Path, problems: _Problems) -> Node:
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        return Node({}, 1) if root is None else _yaml_node(loader, root, problems)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise RecipeError(f"{path}:{line}: not valid YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {str(error).splitlines()[0]}.") from error
    except RecursionError as error:
        raise RecipeError(f"{path}: not valid YAML: an anchor contains itself.") from error
    finally:
        loader.dispose()


_YAML_COLLECTIONS = ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")


def _yaml_node(loader: yaml.SafeLoader, node: yaml.Node, problems: _Problems) -> Node:
    import yaml

    line = node.start_mark.line + 1
    if not isinstance(node, yaml.ScalarNode) and node.tag not in _YAML_COLLECTIONS:
        raise yaml.constructor.ConstructorError(None, None, f"the tag {node.tag!r} is not allowed", node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        return Node(tuple(_yaml_node(loader, item, problems) for item in node.value), line)
    if isinstance(node, yaml.MappingNode):
        own: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is a plain name", key.start_mark)
            if key.value in own:
                problems.repeated(str(key.value), key.start_mark.line + 1, own[key.value])
            own.setdefault(str(key.value), key.start_mark.line + 1)
        loader.flatten_mapping(node)  # resolves `<<: *anchor`; the mapping's own keys come last and win
        entries = {}
        for key, value in node.value:
            item = _yaml_node(loader, value, problems)
            entries[str(key.value)] = Node(item.value, key.start_mark.line + 1, item.raw)
        return Node(entries, line)
    value = loader.construct_object(node, deep=True)
    raw = node.value if isinstance(node, yaml.ScalarNode) and node.style is None else None
    if isinstance(value, (datetime.date, datetime.datetime)):
        value = raw or value.isoformat()
    if not (value is None or isinstance(value, (bool, int, float, str))):
        value = str(node.value)
    return Node(value, line, raw)


def _read_toml(text: str, path: Path, problems: _Problems) -> Node:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML: {error}.") from error
    return _with_lines(node_of(values), _toml_lines(text), ())


_TOML_TABLE = re.compile(r"^\s*\[\[?\s*(?P<name>[^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_TOML_KEY = re.compile(r"""^\s*(?P<key>[A-Za-z0-9_\-."' ]+?)\s*=""")


def _toml_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of each key, read off the text: tomllib keeps none. Keys of inline tables have their parent's line."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header, key = _TOML_TABLE.match(line), _TOML_KEY.match(line)
        if header:
            table = _toml_path(header["name"])
            lines.setdefault(table, number)
        elif key:
            lines.setdefault((*table, *_toml_path(key["key"])), number)
    return lines


def _toml_path(name: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in name.split("."))


def _with_lines(node: Node, lines: Mapping[tuple[str, ...], int], path: tuple[str, ...], line: int = 1) -> Node:
    line = lines.get(path, line)
    if isinstance(node.value, Mapping):
        return Node(
            {name: _with_lines(item, lines, (*path, name), line) for name, item in node.value.items()}, line, node.raw
        )
    return Node(node.value, line, node.raw)


def _read_json(text: str, path: Path, problems: _Problems) -> Node:
    try:
        json.loads(text)  # strict syntax and its message; the second pass adds the lines
    except json.JSONDecodeError as error:
        raise RecipeError(f"{path}:{error.lineno}: not valid JSON: {error.msg}.") from error
    return _JsonNodes(text, problems).value(0)[0]


_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_LITERAL = re.compile(r"[^\s,\]}]+")


class _JsonNodes:
    """A second pass over valid JSON that keeps lines and notices repeated keys."""

    def __init__(self, text: str, problems: _Problems) -> None:
        self._text, self._problems = text, problems

    def value(self, at: int) -> tuple[Node, int]:
        """The node that starts at or after `at`, and where it ends."""
        at = self._skip(at)
        line, mark = self._line(at), self._text[at]
        if mark == "{":
            return self._mapping(at, line)
        if mark == "[":
            return self._list(at, line)
        if mark == '"':
            text, end = _DECODER.raw_decode(self._text, at)
            return Node(text, line), end
        literal = _LITERAL.match(self._text, at)
        assert literal is not None
        return Node(json.loads(literal[0]), line, literal[0]), literal.end()

    def _mapping(self, at: int, line: int) -> tuple[Node, int]:
        entries: dict[str, Node] = {}
        at = self._skip(at + 1)
        while self._text[at] != "}":
            key_line = self._line(at)
            key, end = _DECODER.raw_decode(self._text, at)
            if key in entries:
                self._problems.repeated(key, key_line, entries[key].line)
            item, at = self.value(self._skip(end) + 1)
            entries[key] = Node(item.value, key_line, item.raw)
            at = self._after(at)
        return Node(entries, line), at + 1

    def _list(self, at: int, line: int) -> tuple[Node, int]:
        items = []
        at = self._skip(at + 1)
        while self._text[at] != "]":
            item, at = self.value(at)
            items.append(item)
            at = self._after(at)
        return Node(tuple(items), line), at + 1

    def _after(self, at: int) -> int:
        at = self._skip(at)
        return self._skip(at + 1) if self._text[at] == "," else at

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1
