"""Changes of a prompt that keep its meaning: case, punctuation, white space, typing errors."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from slmcheck.data.rendering import renderer_of
from slmcheck.records import Example, Json, Recipe

_WORD = re.compile(r"[^\W\d_]{4,}")
_TYPO_EVERY = 6
"""One of so many long words is mistyped, one at least."""


def _case(text: str, rng: random.Random) -> str:
    return text.upper() if text == text.lower() else text.lower()


def _punctuation(text: str, rng: random.Random) -> str:
    bare = re.sub(r"[.,;:!?]+(?=\s|$)", "", text)
    return bare if bare != text else text + "."


def _white_space(text: str, rng: random.Random) -> str:
    return re.sub(r" ", "  ", text) + " "


def _typos(text: str, rng: random.Random) -> str:
    """Two neighbouring inner letters exchanged in some words."""
    words = list(_WORD.finditer(text))
    if not words:
        return text
    for word in rng.sample(words, max(1, len(words) // _TYPO_EVERY)):
        at = word.start() + 1 + rng.randrange(len(word.group()) - 2)
        text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text


CHANGES: Mapping[str, Callable[[str, random.Random], str]] = {
    "case": _case,
    "punctuation": _punctuation,
    "white space": _white_space,
    "typing errors": _typos,
}


def changed(recipe: Recipe, examples: Sequence[Example], kind: str) -> tuple[Example, ...]:
    """The examples with what users wrote changed in one way, the template untouched; those that stay equal left out.

    Args:
        recipe: Supplies the template.
        examples: Rows without shots.
        kind: One of `CHANGES`.
    """
    found = []
    for item in examples:
        other = _changed(recipe, item, CHANGES[kind], random.Random(f"{kind} {item.id}"))  # noqa: S311  no secret
        if other is not None and (other.prompt, other.messages) != (item.prompt, item.messages):
            found.append(other)
    return tuple(found)


def _changed(
    recipe: Recipe, item: Example, change: Callable[[str, random.Random], str], rng: random.Random
) -> Example | None:
    renderer = renderer_of(recipe)
    if isinstance(recipe.data.messages, str):
        messages = [dict(message) for message in item.messages]
        asked = next((message for message in reversed(messages[:-1]) if message.get("role") == "user"), None)
        if asked is None or not isinstance(asked.get("content"), str):
            return None
        asked["content"] = change(str(asked["content"]), rng)
        return replace(item, messages=tuple(messages))
    row: dict[str, Json] = dict(item.row)
    for name in renderer.fields:
        value = row.get(name)
        if name != recipe.data.answer and isinstance(value, str) and value.strip():
            row[name] = change(value, rng)
    parts = renderer.render(row)
    if isinstance(parts, str):
        return None
    return replace(item, row=item.row, prompt=parts.prompt, messages=parts.messages)
