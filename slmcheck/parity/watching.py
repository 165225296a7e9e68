"""Logits compared while a graph answers: what it reads to choose an option is not read a second time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slmcheck.backends import GivesLogits, LanguageModel, PaddedBatch, TokenTree
from slmcheck.parity.comparing import Known, ScoredSequence, check_logits, sequences_of
from slmcheck.parity.reducing import Compared, Differences, differences
from slmcheck.records import Example, Recipe


class Watched:
    """Asks a graph about options and compares the logits that it makes on the way with the reference's.

    Args:
        reference: The model that is right by definition.
        other: The graph.
        examples: Those that will be asked.
        recipe: How they are rendered.

    Raises:
        PredictionError: As `slmcheck.parity.compare`.
    """

    def __init__(
        self, reference: LanguageModel, other: GivesLogits, examples: Sequence[Example], *, recipe: Recipe
    ) -> None:
        self._reference, self._other = reference, other
        self._sequences = {
            examples[one.example].id: one for one in sequences_of(reference, other, examples, recipe=recipe)
        }
        self._found: dict[tuple[tuple[int, ...], tuple[int, ...]], Differences] = {}

    @property
    def found(self) -> Known:
        """What was compared so far."""
        return self._found

    def ask(self, batch: Sequence[tuple[Example, TokenTree]]) -> list[NDArray[np.float64]]:
        """Log-probabilities of a batch of trees; see `slmcheck.inference.predict`."""
        values, logits = self._other.log_probabilities_and_logits([tree for _, tree in batch])
        read: list[tuple[Example, ScoredSequence, NDArray[np.float32]]] = []
        for (example, tree), own in zip(batch, logits, strict=True):
            sequence = self._sequences.get(example.id)
            nodes = None if sequence is None else nodes_of(tree, sequence.read)
            if sequence is not None and nodes is not None:
                straight = nodes[-1] == len(nodes) - 1  # then no copy is needed
                read.append((example, sequence, own[: len(nodes)] if straight else own[nodes]))
        if read:
            self._compare(read)
        return values

    def _compare(self, read: Sequence[tuple[Example, ScoredSequence, NDArray[np.float32]]]) -> None:
        padded = PaddedBatch.of([sequence.read for _, sequence, _ in read], pad_id=0, pad_left=False)
        compared = []
        for (example, sequence, own), right in zip(read, self._reference.logits(padded), strict=True):
            check_logits(example, (self._reference, right), (self._other, own))
            compared.append(Compared(right, own, sequence.ids, sequence.scored))
        for (_, sequence, _), difference in zip(read, differences(compared), strict=True):
            self._found[sequence.key] = difference


def nodes_of(tree: TokenTree, tokens: Sequence[int]) -> list[int] | None:
    """The nodes of a tree that read `tokens` from its beginning; None where it does not hold them.

    Args:
        tree: Token sequences that share their beginning.
        tokens: The path to find.
    """
    straight = min(tree.trunk, len(tokens))  # the prompt and the option that was built first
    parted = np.flatnonzero(tree.tokens[:straight] != np.asarray(tokens[:straight]))
    if len(parted):
        straight = int(parted[0])
    nodes = list(range(straight))
    for token in tokens[straight:]:
        last = nodes[-1] if nodes else -1
        found = np.flatnonzero((tree.parents == last) & (tree.tokens == token))
        if not len(found):
            return None
        nodes.append(int(found[0]))
    return nodes
