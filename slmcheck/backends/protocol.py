"""What the stages need of a loaded model, whatever runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.records import Environment


@dataclass(frozen=True, eq=False)
class TokenTree:
    """Token sequences that share their beginning, and the next tokens whose likelihood is asked.

    A plain sequence is the tree without branches. Parents stand before their children.
    """

    tokens: NDArray[np.int64]
    """Token ids; shape (nodes,)."""
    parents: NDArray[np.int64]
    """The node before each node, -1 for the first; shape (nodes,)."""
    asked: NDArray[np.int64]
    """For each question, the node after which the next token is asked; shape (questions,)."""
    targets: NDArray[np.int64]
    """For each question, the next token; shape (questions,)."""

    @classmethod
    def sequence(cls, tokens: Sequence[int], targets: Sequence[int] | NDArray[np.int64]) -> TokenTree:
        """A plain sequence of which the tokens at the places `targets` are asked; place 0 cannot be asked."""
        places = np.asarray(targets, dtype=np.int64)
        ids = np.asarray(tokens, dtype=np.int64)
        return cls(
            tokens=ids[:-1], parents=np.arange(-1, len(ids) - 2, dtype=np.int64), asked=places - 1, targets=ids[places]
        )

    @property
    def trunk(self) -> int:
        """How many leading nodes follow each other without a branch."""
        breaks = np.flatnonzero(self.parents != np.arange(-1, len(self.parents) - 1))
        return int(breaks[0]) if len(breaks) else len(self.parents)

    def positions(self) -> NDArray[np.int64]:
        """Depth of each node; shape (nodes,)."""
        depth = np.arange(len(self.tokens), dtype=np.int64)
        for node in range(self.trunk, len(self.tokens)):
            depth[node] = depth[self.parents[node]] + 1
        return depth

    def path(self, node: int) -> list[int]:
        """The nodes from the first to `node`."""
        trunk, path = self.trunk, []
        while node >= trunk:
            path.append(node)
            node = int(self.parents[node])
        return [*range(node + 1), *reversed(path)]


@dataclass(frozen=True, eq=False)
class PaddedBatch:
    """Sequences of unequal length as a rectangle; padding stands on one side of a row."""

    ids: NDArray[np.int64]
    """Shape (rows, length)."""
    mask: NDArray[np.int64]
    """1 where a token stands, 0 where padding stands; shape (rows, length)."""
    positions: NDArray[np.int64]
    """Position of each token in its own sequence; 0 at padding before it; shape (rows, length)."""

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], *, pad_id: int, pad_left: bool, padding: int = 0) -> PaddedBatch:
        """Pad sequences to the longest of them and `padding` tokens more."""
        length = max(len(sequence) for sequence in sequences) + padding
        ids = np.full((len(sequences), length), pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            span = slice(length - len(sequence), length) if pad_left else slice(0, len(sequence))
            ids[row, span], mask[row, span] = sequence, 1
        return cls(ids=ids, mask=mask, positions=np.maximum(np.cumsum(mask, axis=1) - 1, 0))


class Decoder(Protocol):
    """Sequences under generation and what the model remembers of them.

    Rows keep their order; `drop` moves the last row into each hole.
    """

    @property
    def room(self) -> int:
        """How many prompts can be added now."""
        ...

    def add(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Read prompts as new rows behind the present ones; next-token logits; shape (prompts, vocabulary)."""
        ...

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Append one token to every row; shape (rows,) -> next-token logits; shape (rows, vocabulary)."""
        ...

    def drop(self, row: int) -> None:
        """Forget a row; the last row takes its place."""
        ...


class LanguageModel(Protocol):
    """A model in memory."""

    tokenizer: TextTokenizer
    """The tokenizer of its checkpoint."""
    checkpoint_key: str
    backend: str
    """pytorch or onnxruntime."""
    engine: str
    """How forward passes are made, in words."""
    environment: Environment
    context_tokens: int | None
    """Longest sequence that it reads; None where its configuration states none."""
    vocabulary_size: int
    eos_ids: frozenset[int]
    """Every token that ends a generation."""
    workers: int
    """How many threads may ask it at once with profit."""
    rows_alone: bool
    """Whether a sequence must not share a forward pass with others."""
    shares_beginnings: bool
    """Whether what all trees of a forward pass begin with is read once."""
    pads_left: bool
    """Whether padding may stand before a row; some graphs count their mask from the left."""

    def log_probabilities(self, trees: Sequence[TokenTree]) -> list[NDArray[np.float64]]:
        """Natural-log probability of each tree's targets, in one forward pass; one array (questions,) a tree."""
        ...

    def logits(self, batch: PaddedBatch) -> list[NDArray[np.float32]]:
        """Logits at every token of every row; one array (tokens, vocabulary) a row, or (1, labels) of a head."""
        ...

    def decoder(self, *, rows: int, length: int) -> Decoder:
        """An empty decoder for up to `rows` sequences of up to `length` tokens at a time."""
        ...


@runtime_checkable
class GivesLogits(LanguageModel, Protocol):
    """A model that gives the logits at every node of token trees in the pass that answers their questions."""

    def log_probabilities_and_logits(
        self, trees: Sequence[TokenTree]
    ) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float32]]]:
        """As `LanguageModel.log_probabilities`, and one array (nodes, vocabulary) a tree."""
        ...
