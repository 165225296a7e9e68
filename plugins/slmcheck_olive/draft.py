"""What has been read of an Olive recipe so far: fields of ours, notes, problems, conditions on scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from slmcheck.recipes.foreign import Bound, Note
from slmcheck.records import Json

OTHER_NAMES = {
    "lora_rank": "lora_r",
    "rank": "r",
    "dropout": "lora_dropout",
    "lr": "learning_rate",
    "epochs": "num_train_epochs",
    "model": "model_name_or_path",
    "dataset": "data_name",
    "max_seq_length": "max_seq_len",
}
"""What others call a key."""


@dataclass
class Draft:
    """A recipe in the making; fields are dotted: `data.train`, `options.r`."""

    fields: dict[str, Json] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)

    def put(self, name: str, value: Json) -> None:
        """Set a field."""
        self.fields[name] = value

    def note(self, key: str, text: str) -> None:
        """Say what became of a key."""
        self.notes.append(Note(key=key, text=text))

    def refuse(self, key: str, text: str) -> None:
        """Say why a key has no place; `text` is one sentence without its final stop, or a question."""
        self.problems.append(f"{key}: {text}{'' if text.endswith('?') else '.'}")

    def unknown(self, key: str, name: str, known: Sequence[str]) -> None:
        """Refuse a key that Olive does not know either."""
        bare = name.removeprefix("--")
        meant = name.replace(bare, OTHER_NAMES.get(bare, bare))
        close = [meant] if meant in known else get_close_matches(name, known, n=1)
        self.refuse(key, f"unknown key '{name}'" + (f"; did you mean '{close[0]}'?" if close else ""))

    def follow(self, other: Draft) -> None:
        """Take over what another source says; its fields win."""
        if "max_steps" in other.fields:
            self.fields.pop("num_train_epochs", None)
        if "num_train_epochs" in other.fields:
            self.fields.pop("max_steps", None)
        self.fields.update(other.fields)
        self.notes += other.notes
        self.problems += other.problems
        self.bounds += other.bounds

    @property
    def is_fragment(self) -> bool:
        """Whether it names no base model and no data, as a snippet of a page does."""
        return "base_model" not in self.fields and "data.train" not in self.fields


def nested(fields: Mapping[str, Json]) -> dict[str, Json]:
    """Dotted fields as the mappings of a recipe file, in the order of ours."""
    found: dict[str, Json] = {}
    for name in sorted(fields, key=_place):
        place, parts = found, name.split(".", 2 if name.startswith("search.space.") else -1)
        for part in parts[:-1]:
            inner = place.setdefault(part, {})
            assert isinstance(inner, dict)
            place = inner
        place[parts[-1]] = fields[name]
    return found


_ORDER = ("base_model", "trust_remote_code", "trainer", "task", "labels", "data", "options", "learning_rate")
_DATA_ORDER = ("train", "validation", "test", "evaluate_on", "text_template", "messages", "answer", "loss_on")


def _place(name: str) -> tuple[int, int]:
    top, _, rest = name.partition(".")
    first = _ORDER.index(top) if top in _ORDER else len(_ORDER)
    inner = rest.partition(".")[0]
    return first, _DATA_ORDER.index(inner) if inner in _DATA_ORDER else len(_DATA_ORDER)


def mapping_at(draft: Draft, key: str, value: Json) -> dict[str, Json]:
    """A value that must be a mapping; an empty one, and a problem, where it is none."""
    if isinstance(value, dict):
        return value
    if value is not None:
        draft.refuse(key, f"{value!r} is no mapping")
    return {}


def listed(value: Json) -> list[Json]:
    """A list, the parts of a comma list, or a single value as a list."""
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [] if value is None else [value]


def as_number(value: Json) -> Json:
    """Text that is a number as that number: YAML 1.1 reads 1e-6 as text, and a command line has nothing but text."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def as_switch(value: Json) -> Json:
    """Text that is a truth value as that value."""
    if not isinstance(value, str):
        return value
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(value.lower(), value)


def items_at(key: str, value: Mapping[str, Json]) -> Iterator[tuple[str, str, Json]]:
    """Key, name and value of each entry of a mapping."""
    for name, item in value.items():
        yield (f"{key}.{name}" if key else name), name, item
