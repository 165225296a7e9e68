"""Text templates such as `"Phrase: {phrase} Tone: {tone}"`, and how one becomes a prompt and an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from slmcheck.errors import RecipeError
from slmcheck.records import Json

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True)
class Template:
    """A parsed template: literal texts and fields in turn.

    `texts` has one entry more than `fields`: text, field, text, field, ..., text.
    """

    texts: tuple[str, ...]
    fields: tuple[str, ...]

    def render(self, row: Mapping[str, Json]) -> str:
        """The template with each placeholder replaced by the row's value; an absent or null field is empty."""
        parts = [self.texts[0]]
        for field, text in zip(self.fields, self.texts[1:], strict=True):
            parts += (text_of(row.get(field)), text)
        return "".join(parts)

    def split_at(self, answer: str) -> tuple[Template, Template]:
        """What stands before the answer's placeholder, and what stands after it."""
        at = self.fields.index(answer)
        return (
            Template(self.texts[: at + 1], self.fields[:at]),
            Template(self.texts[at + 1 :], self.fields[at + 1 :]),
        )


@lru_cache(maxsize=64)
def parse_template(text: str) -> Template:
    """A template from its text; `{{` and `}}` stand for braces.

    Raises:
        RecipeError: If a brace has no partner or a placeholder is no plain field name.
    """
    texts, fields, literal, end = [], [], "", 0
    for piece in _PIECE.finditer(text):
        literal += text[end : piece.start()]
        end = piece.end()
        if piece[0] in ("{{", "}}"):
            literal += piece[0][0]
        elif piece[1] is not None and piece[1].strip():
            texts.append(literal)
            fields.append(piece[1].strip())
            literal = ""
        else:
            raise RecipeError(
                f"The template has {piece[0]!r} at character {piece.start() + 1}, which names no field.\n"
                "A field is written {name}; a brace itself is written twice: {{ or }}."
            )
    texts.append(literal + text[end:])
    return Template(tuple(texts), tuple(fields))


def text_of(value: Json) -> str:
    """A row's value as it stands in a text: null is empty, anything but text and numbers is JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
