"""Examples as the token rows that training reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slmcheck.data.encoding import Encoded, encode_for_training, within
from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.errors import DataError
from slmcheck.records import Example, Recipe

IGNORED = -100
"""Label of a token that is not learned."""
_SHOWN = 10


@dataclass(frozen=True)
class TokenRow:
    """One tokenised row."""

    example: int
    """Which example of its split it is, or is a part of."""
    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """The token where it is learned, -100 elsewhere; the first is never learned, nothing stands before it."""
    weight: float = 1.0
    """Weight of each of its tokens in the loss."""

    @property
    def learned(self) -> int:
        """How many of its tokens are learned."""
        return sum(label != IGNORED for label in self.labels)


def tokenise(examples: Sequence[Example], tokenizer: TextTokenizer, recipe: Recipe) -> list[TokenRow]:
    """Every example as one row, a document as its windows, a conversation as its turns.

    Raises:
        DataError: If a row has nothing to learn, or its answer does not fit `max_length`; lists the rows.
    """
    rows, unusable = list[TokenRow](), list[Example]()
    for index, example in enumerate(examples):
        for encoded in encode_for_training(example, tokenizer, recipe=recipe):
            fitting = within(encoded, recipe.data.max_length, tokenizer)
            if fitting is None or not any(fitting.labelled):
                unusable.append(example)
            else:
                rows.append(TokenRow(index, fitting.ids, _labels(fitting), _weight(example, recipe)))
    if unusable:
        shown = ", ".join(example.source or example.id for example in unusable[:_SHOWN])
        more = f", and {len(unusable) - _SHOWN} more" if len(unusable) > _SHOWN else ""
        raise DataError(
            f"{recipe.name}: the answer of {len(unusable)} of {len(examples)} rows does not fit data.max_length, "
            f"{recipe.data.max_length} tokens.\n{shown}{more}.\nWithout its whole answer a row teaches nothing.\n"
            "Raise data.max_length, or shorten these rows."
        )
    return rows


def _labels(encoded: Encoded) -> tuple[int, ...]:
    learned = (False, *encoded.labelled[1:])
    return tuple(token if is_learned else IGNORED for token, is_learned in zip(encoded.ids, learned, strict=True))


def _weight(example: Example, recipe: Recipe) -> float:
    return recipe.class_weights.get(example.references[0], 1.0) if recipe.class_weights else 1.0
