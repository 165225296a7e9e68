"""Why two keys differ: the leaves in which their inputs do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from slmcheck.records import Json
from slmcheck.storage.canonical import canonical_json

_SHOWN_CHARACTERS = 60
_ID_FIELDS = ("id", "name", "row")
_LONGEST_ALIGNED = 20_000
"""Longer lists are compared place by place: aligning them would take minutes."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One leaf in which two inputs differ."""

    path: str
    """`recipe.learning_rate`, `train[17]`, `train[id=row-17].digest`."""
    old: str | None
    """JSON text, shortened; None where the leaf was not there."""
    new: str | None

    def __str__(self) -> str:
        if self.old is None:
            return f"{self.path}: added {self.new}"
        if self.new is None:
            return f"{self.path}: removed {self.old}"
        return f"{self.path}: {self.old} -> {self.new}"


def differences(old: Json, new: Json, *, limit: int = 20) -> tuple[Difference, ...]:
    """The leaves in which two inputs differ, in the order of the first, at most `limit`."""
    found: list[Difference] = []
    _compare("", old, new, found, limit)
    return tuple(found)


def _compare(path: str, old: Json, new: Json, found: list[Difference], limit: int) -> None:
    if len(found) >= limit:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            inner = f"{path}.{key}" if path else str(key)
            if key not in new:
                _add(found, limit, inner, old[key], None)
            elif key not in old:
                _add(found, limit, inner, None, new[key])
            else:
                _compare(inner, old[key], new[key], found, limit)
    elif _is_list(old) and _is_list(new):
        _compare_lists(path, list(old), list(new), found, limit)  # type: ignore[arg-type]
    elif canonical_json(old) != canonical_json(new):
        _add(found, limit, path or "(everything)", old, new)


def _compare_lists(path: str, old: list[Json], new: list[Json], found: list[Difference], limit: int) -> None:
    if max(len(old), len(new)) > _LONGEST_ALIGNED:
        blocks = [("replace", 0, len(old), 0, len(new))]
    else:
        matcher = SequenceMatcher(
            None, [canonical_json(item) for item in old], [canonical_json(item) for item in new], autojunk=False
        )
        blocks = [block for block in matcher.get_opcodes() if block[0] != "equal"]
    for _, old_from, old_to, new_from, new_to in blocks:
        shared = min(old_to - old_from, new_to - new_from)
        for offset in range(shared):
            first, second = old[old_from + offset], new[new_from + offset]
            _compare(_item(path, new_from + offset, second), first, second, found, limit)
        for position in range(old_from + shared, old_to):
            _add(found, limit, _item(path, position, old[position]), old[position], None)
        for position in range(new_from + shared, new_to):
            _add(found, limit, _item(path, position, new[position]), None, new[position])
        if len(found) >= limit:
            return


def _item(path: str, position: int, value: Json) -> str:
    if isinstance(value, Mapping):
        for field in _ID_FIELDS:
            if isinstance(value.get(field), str):
                return f"{path}[{field}={value[field]}]"
    # A row may be written as a list of its id and its digest.
    if _is_list(value) and value and isinstance(value[0], str):  # type: ignore[index]
        return f"{path}[{position}: {value[0]}]"  # type: ignore[index]
    return f"{path}[{position}]"


def _add(found: list[Difference], limit: int, path: str, old: Json, new: Json) -> None:
    if len(found) < limit:
        found.append(
            Difference(
                path=path,
                old=None if old is None and new is not None else _shown(old),
                new=None if new is None and old is not None else _shown(new),
            )
        )


def _shown(value: Json) -> str:
    text = canonical_json(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}... ({len(text)} characters)"


def _is_list(value: Json) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
