"""The same rows alone, together, padded, long and token by token: a graph may be wrong in one of these ways only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slmcheck.backends import Decoder, LanguageModel, PaddedBatch
from slmcheck.parity.comparing import ScoredSequence, check_logits, sequences_of
from slmcheck.parity.reducing import Compared, Differences, differences
from slmcheck.records import Example, Recipe

SAMPLE = 8
"""Rows of all lengths that are asked together, padded and token by token."""
LONGEST = 4
"""Further ones, the longest of the split: in calls of their own, because padding everything to them would cost most."""
DECODED = 8
"""Rows that are asked token by token."""
STEPS = 16
"""Tokens that are written on behind a prompt."""
PADDING = 32
"""Tokens of padding beside the longest row."""
CONDITIONS: Mapping[str, str] = {
    "alone": "each row in a call of its own, without padding",
    "batched": "rows of unequal length in one call",
    "right-padded": f"the same, with {PADDING} more tokens of padding behind the longest row",
    "left-padded": f"the same, with the padding before the rows and {PADDING} tokens of it before the longest",
    "longest": "the longest rows of the split in one call",
    "decode": f"the last {STEPS} tokens of a row one by one behind the keys and values of the others",
}
"""Name and what is done."""
Logits = list[NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How far a model is from the reference when it is asked in one way."""

    name: str
    """One of `CONDITIONS`."""
    rows: int = 0
    tokens: int = 0
    padding: int = 0
    """Tokens of padding in the call."""
    logit_max: float = 0.0
    """Largest difference of a logit from the reference, in standard deviations of the reference's logits."""
    kl: float = 0.0
    """In nats a token."""
    moved: float | None = None
    """Largest difference from the model's own logits of the same row alone, likewise; None where nothing says that
    they are equal: alone, and token by token."""
    skipped: str | None = None
    """Why it was not asked."""


def check_conditions(
    reference: LanguageModel, other: LanguageModel, examples: Sequence[Example], *, recipe: Recipe
) -> tuple[Condition, ...]:
    """Ask a sample of rows in every way that a deployed model is asked, and compare with the reference.

    Args:
        reference: The model that is right by definition; what it gives does not depend on the batch.
        other: The model that is to agree.
        examples: Rendered rows; the longest and others of all lengths are taken.
        recipe: How they are rendered.

    Raises:
        PredictionError: As `slmcheck.parity.compare`.
    """
    chosen = _longest_first(sequences_of(reference, other, _sample(examples), recipe=recipe))
    expected = [reference.logits(_padded([one], left=False))[0] for one in chosen]
    spread = float(np.concatenate([one.ravel() for one in expected]).std(dtype=np.float64)) or 1.0
    alone = [other.logits(_padded([one], left=False))[0] for one in chosen]
    for one, right, found in zip(chosen, expected, alone, strict=True):
        check_logits(examples[one.example], (reference, right), (other, found))

    def asked(name: str, rows: slice, *, left: bool, padding: int) -> Condition:
        if left and not other.pads_left:
            return Condition(name=name, skipped="the graph counts its mask from the left: rows are padded right only")
        batch = _padded(chosen[rows], left=left, padding=padding)
        return _condition(name, chosen[rows], expected[rows], other.logits(batch), spread, batch, alone[rows])

    whole = slice(LONGEST, None) if len(chosen) > LONGEST else slice(None)
    return (
        _condition("alone", chosen, expected, alone, spread),
        asked("batched", whole, left=False, padding=0),
        asked("right-padded", whole, left=False, padding=PADDING),
        asked("left-padded", whole, left=True, padding=PADDING),
        asked("longest", slice(0, LONGEST), left=False, padding=0),
        _decoded(other, chosen[whole], expected[whole], spread),
    )


def _sample(examples: Sequence[Example]) -> list[Example]:
    """The longest, and others evenly over the lengths; by characters, so that not all are tokenised for it."""
    ordered = sorted(examples, key=_characters, reverse=True)
    others = ordered[LONGEST:]
    count = min(SAMPLE, len(others))
    places = np.linspace(0, len(others) - 1, count).round().astype(int) if count else np.zeros(0, dtype=int)
    return [*ordered[:LONGEST], *(others[place] for place in places)]


def _characters(example: Example) -> int:
    spoken = sum(len(str(message.get("content") or "")) for message in example.messages)
    return len(example.prompt) + len(example.answer) + spoken


def _longest_first(sequences: Sequence[ScoredSequence]) -> list[ScoredSequence]:
    """At most the size of a sample; a document of many parts gives its first ones."""
    ordered = sorted(sequences, key=lambda one: len(one.read), reverse=True)
    return ordered if len(ordered) <= LONGEST + SAMPLE else [*ordered[:LONGEST], *ordered[LONGEST:][-SAMPLE:]]


def _padded(sequences: Sequence[ScoredSequence], *, left: bool, padding: int = 0) -> PaddedBatch:
    return PaddedBatch.of([one.read for one in sequences], pad_id=0, pad_left=left, padding=padding)


def _condition(
    name: str,
    sequences: Sequence[ScoredSequence],
    expected: Logits,
    found: Logits,
    spread: float,
    batch: PaddedBatch | None = None,
    alone: Logits | None = None,
) -> Condition:
    compared = differences(
        [
            Compared(right, one, sequence.ids, sequence.scored)
            for right, one, sequence in zip(expected, found, sequences, strict=True)
        ]
    )
    total = _sum(compared)
    moved = None
    if alone is not None:
        moved = max(float(np.abs(one - own).max()) for one, own in zip(found, alone, strict=True)) / spread
    return Condition(
        name=name,
        rows=len(sequences),
        tokens=total.tokens,
        padding=0 if batch is None else int((batch.mask == 0).sum()),
        logit_max=total.largest / spread,
        kl=total.kl_sum / total.tokens,
        moved=moved,
    )


def _decoded(other: LanguageModel, sequences: Sequence[ScoredSequence], expected: Logits, spread: float) -> Condition:
    """The last tokens of each row one by one, rows of all lengths side by side."""
    both = list(zip(sequences, expected, strict=True))
    pairs = [pair for pair in both if len(pair[0].read) > STEPS] or [pair for pair in both if len(pair[0].read) > 1]
    pairs = pairs[:: max(1, len(pairs) // DECODED)]
    if not pairs:
        return Condition(name="decode", skipped="every row is one token long")
    found: Logits = []
    while len(found) < len(pairs):
        rest = pairs[len(found) :]
        decoder = other.decoder(rows=len(rest), length=max(len(one.read) for one, _ in rest))
        found += _steps(decoder, [one.read for one, _ in rest[: max(1, decoder.room)]])
    own = [right[-len(values) :] for (_, right), values in zip(pairs, found, strict=True)]
    return _condition("decode", [ScoredSequence(one.example, one.read, ()) for one, _ in pairs], own, found, spread)


def _steps(decoder: Decoder, rows: Sequence[Sequence[int]]) -> Logits:
    """Logits of the last tokens of rows, the first from reading the prompt; one array (steps, vocabulary) a row."""
    steps = min(STEPS, min(len(row) for row in rows) - 1)
    logits = [decoder.add([row[: len(row) - steps] for row in rows])]
    for step in range(steps, 0, -1):
        logits.append(decoder.step(np.asarray([row[len(row) - step] for row in rows], dtype=np.int64)))
    return list(np.stack(logits, axis=1))


def _sum(parts: Sequence[Differences]) -> Differences:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
