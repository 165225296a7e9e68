"""Both models read the same ids, masks and positions, batch by batch; their logits are reduced and dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from slmcheck.backends import LanguageModel, PaddedBatch
from slmcheck.data.encoding import encode
from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.errors import PredictionError
from slmcheck.parity.reducing import Compared, Differences, differences
from slmcheck.records import Example, Recipe

LOGITS = 1 << 25
"""Logits of one batch and one model, at most: 128 MB."""
TOKENS = 512
"""Tokens of one batch, at most: larger calls are slower on a CPU."""
PADDING = 3
"""Padding beside the longest row of a batch too, so that no row escapes it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ParityRows:
    """How two models differ on each example."""

    reference: str
    """Key of the checkpoint that is right by definition."""
    other: str
    example_ids: tuple[str, ...]
    rows: tuple[Differences, ...]
    groups: tuple[str, ...] | None = None
    """The document or source of each example; None where examples are independent."""

    def column(self, name: str) -> NDArray[np.float64]:
        """A field of `Differences` for every example; shape (examples,)."""
        return np.asarray([getattr(row, name) for row in self.rows], dtype=np.float64)

    @cached_property
    def spread(self) -> float:
        """Standard deviation of the reference's logits."""
        count = self.column("logits").sum()
        mean = self.column("total").sum() / count
        return float(np.sqrt(max(0.0, self.column("squares").sum() / count - mean**2)))

    @property
    def tokens(self) -> int:
        """Tokens after which both were asked."""
        return int(self.column("tokens").sum())


@dataclass(frozen=True)
class ScoredSequence:
    """What both models read of an example: its prompt and answer, or a part of a document."""

    example: int
    """Its place among the examples."""
    ids: tuple[int, ...]
    scored: tuple[int, ...]
    """Places whose likelihood counts; above 0."""
    last_is_read: bool = True
    """Whether the last token is read too; else it is asked only, as options are."""

    @property
    def key(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What makes two sequences the same comparison."""
        return self.ids, self.scored

    @property
    def read(self) -> tuple[int, ...]:
        """The tokens that both models read."""
        return self.ids if self.last_is_read else self.ids[:-1]


Known = Mapping[tuple[tuple[int, ...], tuple[int, ...]], Differences]
"""Differences of sequences by their ids and the places that count."""


def compare(
    reference: LanguageModel,
    other: LanguageModel,
    examples: Sequence[Example],
    *,
    recipe: Recipe,
    known: Known | None = None,
) -> ParityRows:
    """Let two models read each example with its reference answer, and compare their logits at every token.

    Batches are padded left and right in turn where the graph takes both, so that a graph that ignores its mask or
    counts padding is seen. A comparison that could not be made is an error, never agreement.

    Args:
        reference: The model that is right by definition.
        other: The model that is to agree with it.
        examples: Rendered rows.
        recipe: How they are rendered; `evaluation.batch_tokens` bounds a batch.
        known: Sequences that were compared while the other model answered; they are not read again.

    Raises:
        PredictionError: If there are no examples, a row exceeds the context, the vocabularies or tokenizers differ, or
            a model gives no numbers.
    """
    sequences = sequences_of(reference, other, examples, recipe=recipe)
    done = dict(known or {})
    # Rows that render to the same text are compared once.
    missing = {one.key: one for one in sequences if one.key not in done}
    budget = min(recipe.evaluation.batch_tokens, TOKENS, LOGITS // other.vocabulary_size)
    work = list(enumerate(_batches(list(missing.values()), budget)))

    def one_batch(item: tuple[int, list[ScoredSequence]]) -> list[tuple[ScoredSequence, Differences]]:
        number, batch = item
        return _compare_batch(reference, other, batch, examples, pad_left=number % 2 == 1 and other.pads_left)

    with ThreadPoolExecutor(min(reference.workers, other.workers)) as pool:
        for finished in pool.map(one_batch, work):
            done.update((sequence.key, difference) for sequence, difference in finished)
    found: dict[int, Differences] = {}
    for one in sequences:
        before = found.get(one.example)
        found[one.example] = done[one.key] if before is None else before + done[one.key]
    return ParityRows(
        reference=reference.checkpoint_key,
        other=other.checkpoint_key,
        example_ids=tuple(example.id for example in examples),
        rows=tuple(found[index] for index in range(len(examples))),
        groups=groups_of(examples),
    )


def groups_of(examples: Sequence[Example]) -> tuple[str, ...] | None:
    """The group of each example, itself where it has none; None where no example has one."""
    if not any(example.group for example in examples):
        return None
    return tuple(example.group or example.id for example in examples)


def sequences_of(
    reference: LanguageModel, other: LanguageModel, examples: Sequence[Example], *, recipe: Recipe
) -> list[ScoredSequence]:
    """What both models read of examples.

    Raises:
        PredictionError: As `compare`.
    """
    if not examples:
        raise PredictionError("There are no examples to compare two models on.\nGive an evaluation split with rows.")
    if reference.vocabulary_size != other.vocabulary_size:
        raise PredictionError(
            f"The models have vocabularies of {reference.vocabulary_size} and {other.vocabulary_size} tokens.\n"
            "Only exports of one checkpoint can be compared: export the run again."
        )
    read_alike = reference.tokenizer.is_same(other.tokenizer)
    return [
        one
        for index, example in enumerate(examples)
        for one in _sequences(index, example, reference, None if read_alike else other, recipe)
    ]


def _sequences(
    index: int, example: Example, reference: LanguageModel, other: LanguageModel | None, recipe: Recipe
) -> Iterator[ScoredSequence]:
    """An example's prompt and reference answer; a document in parts of the context.

    Of a row with options the last token of the answer is asked and not read, and no EOS follows: what evaluation reads.
    """
    document, has_options = recipe.task == "language_modeling", recipe.task in CLASSIFICATIONS
    end = not document and not has_options
    encoded = encode(example, reference.tokenizer, recipe=recipe, end=end)
    if other is not None and encode(example, other.tokenizer, recipe=recipe, end=end).ids != encoded.ids:
        raise PredictionError(
            f"The tokenizers of the two models read {example.source or example.id} differently.\n"
            "An export carries the tokenizer of its checkpoint: export the run again."
        )
    first = 1 if document else encoded.answer_start
    scored = [place for place in range(max(1, first), len(encoded.ids)) if encoded.labelled[place]]
    context = reference.context_tokens or len(encoded.ids)
    if not document and len(encoded.ids) > context:
        raise PredictionError(
            f"{example.source or 'A row'} (id {example.id}) has {len(encoded.ids)} tokens.\n"
            f"The model reads {context} tokens.\nShorten the row, or use a base model with a longer context."
        )
    for start in range(0, len(encoded.ids), context):
        stop = min(start + context, len(encoded.ids))
        own = tuple(place - start for place in scored if start < place < stop)
        if start == 0 or own:
            yield ScoredSequence(
                index, encoded.ids[start:stop], own, last_is_read=not has_options or len(encoded.ids) < 2
            )


def _batches(sequences: Sequence[ScoredSequence], budget: int) -> list[list[ScoredSequence]]:
    """Sequences of similar length, at most `budget` tokens with their padding; a longer one stands alone."""
    found: list[list[ScoredSequence]] = []
    for sequence in sorted(sequences, key=lambda one: len(one.ids), reverse=True):
        if not found or (len(found[-1]) + 1) * len(found[-1][0].ids) > budget:
            found.append([])
        found[-1].append(sequence)
    return found


def _compare_batch(
    reference: LanguageModel,
    other: LanguageModel,
    batch: Sequence[ScoredSequence],
    examples: Sequence[Example],
    *,
    pad_left: bool,
) -> list[tuple[ScoredSequence, Differences]]:
    padded = PaddedBatch.of([one.read for one in batch], pad_id=0, pad_left=pad_left, padding=PADDING)
    compared = []
    for sequence, one, two in zip(batch, reference.logits(padded), other.logits(padded), strict=True):
        check_logits(examples[sequence.example], (reference, one), (other, two))
        compared.append(Compared(one, two, sequence.ids, sequence.scored))
    return list(zip(batch, differences(compared), strict=True))


def check_logits(example: Example, *found: tuple[LanguageModel, NDArray[np.float32]]) -> None:
    """Raise unless all logits are numbers and of one shape.

    Raises:
        PredictionError: Names the example and the model.
    """
    shapes = {logits.shape for _, logits in found}
    if len(shapes) != 1:
        raise PredictionError(
            f"The models give logits of shapes {' and '.join(map(str, sorted(shapes)))}.\n"
            f"For {example.source or example.id}.\nThey are not two forms of one model."
        )
    for model, logits in found:
        if not np.isfinite(logits).all():
            raise PredictionError(
                f"{model.backend} gives logits that are not numbers for {example.source or example.id}.\n"
                f"Precision {model.environment.dtype}, checkpoint {model.checkpoint_key[:12]}.\n"
                "Try the fp32 export: half precision overflows where activations are large."
            )
