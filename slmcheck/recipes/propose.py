"""Rows -> a proposed recipe: which field is the label, the answer or the text, and how to ask for it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from slmcheck.data.templates import text_of
from slmcheck.errors import DataError
from slmcheck.records import Json, SlicePredicate, Task

LABEL_NAMES = ("label", "labels", "class", "category", "intent", "sentiment", "tone", "emotion", "topic", "team", "tag")
ANSWER_NAMES = (
    "output",
    "target",
    "answer",
    "response",
    "completion",
    "summary",
    "translation",
    "reply",
    "highlights",
    "chosen",
)
ABOUT_NAMES = ("source", "channel", "lang", "language", "origin", "date", "time", "author", "user", "split", "region")
"""Fields that say something about a row rather than being asked or answered."""
ID_NAMES = ("id", "uid", "uuid", "guid", "idx", "index", "row_id", "example_id")
MAX_CLASSES = 150
SLICE_SHARE = 0.05
MAX_SLICES = 4
CHARACTERS_PER_TOKEN = 2.5
"""A cautious guess for the tokenizer of a small model."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A recipe as far as the rows suggest it."""

    name: str
    task: Task
    text_template: str | None = None
    messages: str | None = None
    answer: str | None = None
    references: str | None = None
    id: str | None = None
    labels: tuple[str, ...] = ()
    """Labels found; for information, the recipe takes them from the training rows."""
    slices: Mapping[str, SlicePredicate] = field(default_factory=dict)
    max_length: int = 512
    reasons: tuple[str, ...] = ()
    """Why each choice was made, one sentence each."""


@dataclass(frozen=True)
class _Field:
    """What the rows say about one field."""

    name: str
    texts: tuple[str, ...]
    counts: Mapping[str, int]
    kinds: frozenset[str]
    mean_words: float

    @property
    def filled(self) -> int:
        return len(self.texts)

    def is_called(self, names: Sequence[str]) -> bool:
        words = re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", self.name).lower())
        return any(name in (self.name.lower(), *words) for name in names)

    @property
    def is_category(self) -> bool:
        """Few short values, each of them often."""
        distinct = len(self.counts)
        return (
            self.kinds <= {"str", "int", "bool"}
            and 2 <= distinct <= min(MAX_CLASSES, max(2, self.filled // 4))
            and max(len(text.split()) for text in self.counts) <= 8
        )

    @property
    def is_text(self) -> bool:
        return self.kinds <= {"str"} and self.filled > 0 and not self.is_identifier

    @property
    def is_identifier(self) -> bool:
        unique = len(self.counts) == self.filled and self.mean_words <= 1.0
        return unique and (self.is_called(ID_NAMES) or self.kinds <= {"int"})


def propose(
    rows: Sequence[Mapping[str, Json]],
    name: str,
    *,
    context_tokens: int = 512,
    count_tokens: Callable[[str], int] | None = None,
) -> Proposal:
    """The recipe that rows suggest.

    Args:
        rows: Parsed rows, at least two.
        name: Name of the suite to be.
        context_tokens: Longest sequence that the base model reads; `max_length` does not exceed it.
        count_tokens: Length of a text in tokens of the base model; without it characters are a cautious guess.

    Raises:
        DataError: If no field of the rows can be learned from.
    """
    if len(rows) < 2:
        raise DataError(f"{len(rows)} rows are too few to propose a recipe from.\nGive a file with the training rows.")
    fields = _fields(rows)
    chat = next((item for item in fields if _holds_messages(rows, item.name)), None)
    if chat is not None:
        reason = f"'{chat.name}' holds chat messages."
        length = _length(_longest(rows, [chat.name]), context_tokens, count_tokens)
        return Proposal(name=name, task="generation", messages=chat.name, max_length=length, reasons=(reason,))
    identifier = next((item.name for item in fields if item.is_identifier and item.is_called(ID_NAMES)), None)
    references = next((item.name for item in fields if item.is_called(("references",)) and "list" in item.kinds), None)
    usable = [item for item in fields if item.name not in (identifier, references) and not item.is_identifier]
    answer, task, reason = _answer(usable, rows)
    inputs = _inputs(usable, answer, task)
    if not inputs and task != "language_modeling":
        raise DataError(
            f"The rows have no field that could be the input beside '{answer}'.\n"
            f"Fields: {', '.join(item.name for item in fields)}.\n"
            "Write the recipe yourself: data.text_template and data.answer."
        )
    proposal = Proposal(
        name=name,
        task=task,
        text_template=_template(inputs, answer, task),
        answer=None if task == "language_modeling" else answer,
        references=references if task == "generation" else None,
        id=identifier,
        labels=tuple(sorted(_counts(usable, answer))) if task == "classification" else (),
        max_length=_length(_longest(rows, [*inputs, answer]), context_tokens, count_tokens),
        reasons=(reason, *([f"'{identifier}' tells the rows apart."] if identifier else [])),
    )
    used = {*inputs, answer}
    return replace(proposal, slices=_slices(usable, used, inputs))


def _fields(rows: Sequence[Mapping[str, Json]]) -> list[_Field]:
    fields = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if row.get(name) not in (None, "")]
        texts = tuple(text_of(value) for value in values)
        if texts:
            words = sum(len(text.split()) for text in texts) / len(texts)
            kinds = frozenset(type(value).__name__ for value in values)
            fields.append(_Field(name, texts, Counter(texts), kinds, words))
    return fields


def _holds_messages(rows: Sequence[Mapping[str, Json]], name: str) -> bool:
    values = [row[name] for row in rows if row.get(name)]
    return bool(values) and all(
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(item, Mapping) and "role" in item for item in value)
        for value in values
    )


def _answer(fields: Sequence[_Field], rows: Sequence[Mapping[str, Json]]) -> tuple[str, Task, str]:
    """The field to be produced, the task, and why."""
    objects = next((item for item in fields if _holds_objects(item) and item.is_called(ANSWER_NAMES)), None)
    if objects is not None:
        return objects.name, "extraction", f"'{objects.name}' holds JSON objects: a task of extraction."
    written = [item for item in fields if item.is_text and item.is_called(ANSWER_NAMES) and not item.is_category]
    categories = [item for item in fields if item.is_category and not item.is_called(ABOUT_NAMES)]
    labels = [item for item in categories if item.is_called(LABEL_NAMES)]
    if written and not any(item.is_called(LABEL_NAMES[:6]) for item in labels):
        chosen = written[-1]
        return chosen.name, "generation", f"'{chosen.name}' is written text under a usual name for answers."
    if labels or categories:
        chosen = labels[-1] if labels else min(categories, key=lambda item: item.mean_words)
        values = f"{len(chosen.counts)} values in {len(rows)} rows"
        return chosen.name, "classification", f"'{chosen.name}' has {values}: a task of classification."
    texts = [item for item in fields if item.is_text and not item.is_called(ABOUT_NAMES)]
    if len(texts) == 1:
        return texts[0].name, "language_modeling", f"'{texts[0].name}' is the only text: a task of language modelling."
    if texts:
        return texts[-1].name, "generation", f"'{texts[-1].name}' is the last text of the rows."
    raise DataError(
        f"No field of the rows can be learned: {', '.join(item.name for item in fields) or 'they are empty'}.\n"
        "A field with text or with a few repeated values is needed."
    )


def _holds_objects(item: _Field) -> bool:
    if item.kinds == {"dict"}:
        return True
    return item.kinds == {"str"} and all(text.lstrip().startswith("{") and _is_json(text) for text in item.texts[:50])


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


def _inputs(fields: Sequence[_Field], answer: str, task: Task) -> list[str]:
    if task == "language_modeling":
        return []
    texts = [item for item in fields if item.is_text and item.name != answer]
    inputs = [item.name for item in texts if not item.is_category and not item.is_called(ABOUT_NAMES)]
    if inputs:
        return inputs
    # Short repeated values may still be all there is to ask by.
    return [max(texts, key=lambda item: item.mean_words).name] if texts else []


def _template(inputs: Sequence[str], answer: str, task: Task) -> str:
    if task == "language_modeling":
        return f"{{{answer}}}"
    return "\n".join(f"{_title(name)}: {{{name}}}" for name in (*inputs, answer))


def _title(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").strip().capitalize()


def _counts(fields: Sequence[_Field], name: str) -> Mapping[str, int]:
    return next(item.counts for item in fields if item.name == name)


def _slices(fields: Sequence[_Field], used: set[str], inputs: Sequence[str]) -> dict[str, SlicePredicate]:
    """Values of descriptive fields that many rows share, and the shorter fourth of the inputs."""
    slices: dict[str, SlicePredicate] = {}
    for item in fields:
        if item.name in used or not item.is_category or len(item.counts) > 2 * MAX_SLICES:
            continue
        for value, count in sorted(item.counts.items(), key=lambda pair: -pair[1])[:MAX_SLICES]:
            if count >= SLICE_SHARE * item.filled:
                slices[_slice_name(item.name, value)] = SlicePredicate(field=item.name, equals=value)
    longest = max((item for item in fields if item.name in inputs), key=lambda item: item.mean_words, default=None)
    if longest is not None and longest.mean_words >= 4:
        lengths = sorted(len(text.split()) for text in longest.texts)
        slices["short"] = SlicePredicate(field=longest.name, max_words=max(1, lengths[len(lengths) // 4]))
    return slices


def _slice_name(field_name: str, value: str) -> str:
    return re.sub(r"\W+", "_", f"{field_name}_{value}").strip("_").lower()


def _longest(rows: Sequence[Mapping[str, Json]], names: Sequence[str]) -> str:
    """The longest row as its template would about show it."""
    return max(("\n".join(f"{name}: {text_of(row.get(name))}" for name in names) for row in rows), key=len)


def _length(text: str, context_tokens: int, count_tokens: Callable[[str], int] | None) -> int:
    """A `max_length` that holds the longest row, in steps of 64 tokens."""
    tokens = count_tokens(text) if count_tokens is not None else int(len(text) / CHARACTERS_PER_TOKEN)
    return min(context_tokens, max(64, -(-(tokens + 2) // 64) * 64))
