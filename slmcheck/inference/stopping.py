"""When a generation ends, and the text that it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Decode = Callable[[Sequence[int]], str]
REPLACEMENT = "\ufffd"
"""What decoding gives for a part of a character."""


@dataclass(eq=False)
class StopStrings:
    """Strings that end a generation; the text ends before the first of them."""

    strings: tuple[str, ...]
    decode: Decode
    _suspect: dict[int, bool] = field(default_factory=dict)

    def reached(self, tokens: Sequence[int]) -> bool:
        """Whether the text of `tokens` holds a stop string; only the last token may have brought it."""
        if not self.strings or not self._may_bring_one(tokens[-1]):
            return False
        text = self.decode(tokens)
        return any(stop in text for stop in self.strings)

    def cut(self, text: str) -> str:
        """The text before the first stop string."""
        places = [place for stop in self.strings if (place := text.find(stop)) >= 0]
        return text[: min(places)] if places else text

    def _may_bring_one(self, token: int) -> bool:
        """Whether a token's text shares a character with a stop string; decided once a token."""
        known = self._suspect.get(token)
        if known is None:
            piece, characters = self.decode([token]), set("".join(self.strings))
            # Decoding a token alone may lose white space at its beginning, or a part of a character.
            known = not piece or piece.isspace() or REPLACEMENT in piece or not characters.isdisjoint({*piece, " "})
            self._suspect[token] = known
        return known
