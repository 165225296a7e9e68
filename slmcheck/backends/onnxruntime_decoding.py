"""Generation with a graph, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slmcheck.backends.protocol import PaddedBatch

if TYPE_CHECKING:
    from slmcheck.backends.onnxruntime import OnnxModel, Past


class OnnxDecoder:
    """A decoder over a graph; prompts are left-padded and come together, see `slmcheck.backends.Decoder`."""

    def __init__(self, model: OnnxModel, *, rows: int) -> None:
        self._model, self._capacity = model, rows
        self._order: list[int] = []  # the places of the present rows in the tensors below
        self._mask = np.zeros((0, 0), dtype=np.int64)
        self._past: Past = []

    @property
    def room(self) -> int:
        """How many prompts can be added now: none until all rows have left."""
        return 0 if self._order else self._capacity

    def add(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """See `Decoder`."""
        batch = PaddedBatch.of(prompts, pad_id=0, pad_left=True)
        past = self._model.no_past(len(prompts))
        for _, logits, behind in self._model.pieces(batch.ids, batch.mask, batch.positions, past):
            last, past = logits[:, -1], behind
        self._past, self._mask, self._order = past, batch.mask, list(range(len(prompts)))
        return last

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Decoder`."""
        if self._order != list(range(len(self._mask))):
            self._past = [tensor[self._order] for tensor in self._past]
            self._mask, self._order = self._mask[self._order], list(range(len(self._order)))
        positions = self._mask.sum(axis=1, keepdims=True)
        self._mask = np.concatenate([self._mask, np.ones_like(positions)], axis=1)
        logits, self._past = self._model.run(tokens[:, None], self._mask, positions, self._past)
        return logits[:, -1]

    def drop(self, row: int) -> None:
        """See `Decoder`."""
        last = self._order.pop()
        if row < len(self._order):
            self._order[row] = last


@dataclass(eq=False)
class _Row:
    tokens: list[int]
    past: Past | None = None
    """None where all tokens are read again."""


class RowDecoder:
    """A decoder that advances row by row; see `slmcheck.backends.Decoder`.

    For graphs that keep nothing, that count their mask from the left, or whose rotary factors change with the length.
    """

    def __init__(self, model: OnnxModel, *, rows: int) -> None:
        self._model, self._capacity = model, rows
        self._rows: list[_Row] = []

    @property
    def room(self) -> int:
        """How many prompts can be added now."""
        return self._capacity - len(self._rows)

    def add(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """See `Decoder`."""
        new = [_Row(list(prompt)) for prompt in prompts]
        self._rows.extend(new)
        return np.stack([self._next(row) for row in new])

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Decoder`."""
        logits = []
        for row, token in zip(self._rows, tokens.tolist(), strict=True):
            row.tokens.append(token)
            if self._model.long_from is not None and len(row.tokens) == self._model.long_from + 1:
                row.past = None  # what was remembered has the factors of short texts; `generate` drops it there too
            logits.append(self._next(row))
        return np.stack(logits)

    def drop(self, row: int) -> None:
        """See `Decoder`."""
        last = self._rows.pop()
        if row < len(self._rows):
            self._rows[row] = last

    def _next(self, row: _Row) -> NDArray[np.float32]:
        """Read what is new, or all of it; shape (vocabulary,)."""
        first = 0 if row.past is None else len(row.tokens) - 1
        ids = np.asarray([row.tokens[first:]], dtype=np.int64)
        mask = np.ones((1, len(row.tokens)), dtype=np.int64)
        positions = np.arange(first, len(row.tokens), dtype=np.int64)[None]
        past = self._model.no_past(1) if row.past is None else row.past
        logits, present = self._model.run(ids, mask, positions, past)
        row.past = present if self._model.remembers else None
        values: NDArray[np.float32] = logits[0, -1]
        return values
