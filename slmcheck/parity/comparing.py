"""Both models read the same ids, masks and positions, batch by batch; their logits are reduced and dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from slmcheck.backends import LanguageModel, PaddedBatch
from slmcheck.data.encoding import encode
from slmcheck.errors import PredictionError
from slmcheck.parity.reducing import Differences, differences
from slmcheck.records import Example, Recipe

LOGITS = 1 << 25
"""Logits of one batch and one model, at most: 128 MB."""
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
class _Sequence:
    example: int
    ids: tuple[int, ...]
    scored: tuple[int, ...]


def compare(
    reference: LanguageModel, other: LanguageModel, examples: Sequence[Example], *, recipe: Recipe
) -> ParityRows:
    """Let two models read each example with its reference answer, and compare their logits at every token.

    Batches are padded left and right in turn, so that a graph that ignores its mask or counts padding is seen. A
    comparison that could not be made is an error, never agreement.

    Args:
        reference: The model that is right by definition.
        other: The model that is to agree with it.
        examples: Rendered rows.
        recipe: How they are rendered; `evaluation.batch_tokens` bounds a batch.

    Raises:
        PredictionError: If there are no examples, a row exceeds the context, the vocabularies or tokenizers differ, or
            a model gives no numbers.
    """
    if not examples:
        raise PredictionError("There are no examples to compare two models on.\nGive an evaluation split with rows.")
    if reference.vocabulary_size != other.vocabulary_size:
        raise PredictionError(
            f"The models have vocabularies of {reference.vocabulary_size} and {other.vocabulary_size} tokens.\n"
            "Only exports of one checkpoint can be compared: export the run again."
        )
    sequences = [
        one for index, example in enumerate(examples) for one in _sequences(index, example, reference, other, recipe)
    ]
    found: dict[int, Differences] = {}
    work = list(enumerate(_batches(sequences, min(recipe.evaluation.batch_tokens, LOGITS // other.vocabulary_size))))

    def one_batch(item: tuple[int, list[_Sequence]]) -> list[tuple[_Sequence, Differences]]:
        number, batch = item
        return _compare_batch(reference, other, batch, examples, pad_left=number % 2 == 1)

    with ThreadPoolExecutor(min(reference.workers, other.workers)) as pool:
        for finished in pool.map(one_batch, work):
            for sequence, difference in finished:
                known = found.get(sequence.example)
                found[sequence.example] = difference if known is None else known + difference
    return ParityRows(
        reference=reference.checkpoint_key,
        other=other.checkpoint_key,
        example_ids=tuple(example.id for example in examples),
        rows=tuple(found[index] for index in range(len(examples))),
    )


def _sequences(
    index: int, example: Example, reference: LanguageModel, other: LanguageModel, recipe: Recipe
) -> Iterator[_Sequence]:
    """An example's prompt and reference answer; a document in parts of the context."""
    document = recipe.task == "language_modeling"
    encoded = encode(example, reference.tokenizer, recipe=recipe, end=not document)
    if encode(example, other.tokenizer, recipe=recipe, end=not document).ids != encoded.ids:
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
            yield _Sequence(index, encoded.ids[start:stop], own)


def _batches(sequences: Sequence[_Sequence], budget: int) -> list[list[_Sequence]]:
    """Sequences of similar length, at most `budget` tokens with their padding; a longer one stands alone."""
    found: list[list[_Sequence]] = []
    for sequence in sorted(sequences, key=lambda one: len(one.ids), reverse=True):
        if not found or (len(found[-1]) + 1) * len(found[-1][0].ids) > budget:
            found.append([])
        found[-1].append(sequence)
    return found


def _compare_batch(
    reference: LanguageModel,
    other: LanguageModel,
    batch: Sequence[_Sequence],
    examples: Sequence[Example],
    *,
    pad_left: bool,
) -> list[tuple[_Sequence, Differences]]:
    padded = PaddedBatch.of([one.ids for one in batch], pad_id=0, pad_left=pad_left, padding=PADDING)
    compared = []
    for sequence, one, two in zip(batch, reference.logits(padded), other.logits(padded), strict=True):
        _check_logits(examples[sequence.example], (reference, one), (other, two))
        compared.append((sequence, differences(one, two, sequence.ids, sequence.scored)))
    return compared


def _check_logits(example: Example, *found: tuple[LanguageModel, NDArray[np.float32]]) -> None:
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
