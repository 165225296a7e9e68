"""Rows that are asked, and the message when the model cannot read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slmcheck.errors import PredictionError
from slmcheck.records import Example

SHOWN = 3
"""Rows that an error names."""


@dataclass(frozen=True)
class Asked:
    """One distinct rendered row."""

    row: str
    """Digest of what was rendered."""
    example: Example

    @property
    def place(self) -> str:
        """Where the row stands, for messages."""
        return f"{self.example.source or 'row'} (id {self.example.id})"


def check_lengths(rows: Sequence[tuple[Asked, int]], context_tokens: int | None, *, what: str) -> None:
    """Raise unless every row fits the context.

    Args:
        rows: Rows with their length in tokens.
        context_tokens: The longest sequence that the model reads; None has no limit.
        what: What the length counts, for the message: `prompt and option`.

    Raises:
        PredictionError: Names the rows that are too long.
    """
    if context_tokens is None:
        return
    too_long = [(asked, tokens) for asked, tokens in rows if tokens > context_tokens]
    if not too_long:
        return
    named = "; ".join(f"{asked.place}: {tokens} tokens" for asked, tokens in too_long[:SHOWN])
    more = f"; {len(too_long) - SHOWN} more" if len(too_long) > SHOWN else ""
    raise PredictionError(
        f"{len(too_long)} of {len(rows)} rows do not fit the context of the model: {what}.\n{named}{more}.\n"
        f"The model reads {context_tokens} tokens.\n"
        "Shorten these rows or the template, or use a base model with a longer context."
    )
