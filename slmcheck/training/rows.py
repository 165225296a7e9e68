"""What the model made of each row while it trained: `rows.npz`.

    train_ids           (n,)     example ids
    train_tokens        (n,)     supervised tokens of a row
    train_nll           (E, n)   nats of the row's supervised tokens in each epoch, before its update; NaN: not seen
    train_correct       (E, n)   1 when every supervised token was the most likely one, 0 when not, -1: not seen
    validation_ids      (m,)     and validation_tokens (m,)
    validation_steps    (V,)     the steps of the evaluations
    validation_nll      (V, m)   as above, in evaluation mode
    validation_correct  (V, m)
    subset_*                     the same of the fixed part of the training rows

The training rows are seen with dropout on and by weights that move within the epoch: compare them only with the same
quantity of other rows. A document of language modelling that was cut into windows counts as one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FILE_NAME = "rows.npz"

Floats: TypeAlias = NDArray[np.float32]
Flags: TypeAlias = NDArray[np.int8]


class SplitRecord:
    """NLL and correctness of the rows of one split, one line an epoch or evaluation."""

    def __init__(self, ids: Sequence[str], tokens: Sequence[int]) -> None:
        """Start an empty record of the rows `ids` with `tokens` supervised tokens each."""
        self._ids, self._tokens = np.array(ids, dtype=np.str_), np.array(tokens, dtype=np.int64)
        self._steps: list[int] = []
        self._nll: list[Floats] = []
        self._correct: list[Flags] = []

    def line(self, step: int) -> int:
        """Open the line of an epoch or evaluation, or give the one that is open already."""
        if step in self._steps:
            return self._steps.index(step)
        self._steps.append(step)
        self._nll.append(np.full(len(self._ids), np.nan, dtype=np.float32))
        self._correct.append(np.full(len(self._ids), -1, dtype=np.int8))
        return len(self._steps) - 1

    def add(self, line: int, rows: Sequence[int], nll: Sequence[float], correct: Sequence[bool]) -> None:
        """Add what was seen of some rows; several windows of one row add up."""
        for row, nats, right in zip(rows, nll, correct, strict=True):
            seen = self._correct[line][row] >= 0
            self._nll[line][row] = nats + (self._nll[line][row] if seen else 0.0)
            self._correct[line][row] = bool(right) and (not seen or self._correct[line][row] == 1)

    def arrays(self, name: str, *, steps: bool) -> dict[str, NDArray[np.generic]]:
        """The arrays of the file, their names beginning with `name`."""
        shape = (len(self._steps), len(self._ids))
        found: dict[str, NDArray[np.generic]] = {
            f"{name}_ids": self._ids,
            f"{name}_tokens": self._tokens,
            f"{name}_nll": np.array(self._nll, dtype=np.float32).reshape(shape),
            f"{name}_correct": np.array(self._correct, dtype=np.int8).reshape(shape),
        }
        if steps:
            found[f"{name}_steps"] = np.array(self._steps, dtype=np.int64)
        return found

    def restore(self, name: str, saved: dict[str, NDArray[np.generic]]) -> None:
        """Go on from the arrays of an earlier record."""
        lines = len(saved[f"{name}_nll"])
        self._steps = [int(step) for step in saved.get(f"{name}_steps", np.arange(lines))]
        self._nll = [line.astype(np.float32) for line in saved[f"{name}_nll"]]
        self._correct = [line.astype(np.int8) for line in saved[f"{name}_correct"]]


class RowRecord:
    """The record of all rows of a training."""

    def __init__(self, *, train: SplitRecord, validation: SplitRecord, subset: SplitRecord) -> None:
        """Join the records of the splits."""
        self.train, self.validation, self.subset = train, validation, subset

    def save(self, path: Path) -> None:
        """Write the record; the same record gives the same bytes."""
        arrays = {
            **self.train.arrays("train", steps=False),
            **self.validation.arrays("validation", steps=True),
            **self.subset.arrays("subset", steps=True),
        }
        temporary = path.with_name("tmp-" + path.name)
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
        temporary.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from a saved record."""
        with np.load(path, allow_pickle=False) as file:
            saved = dict(file)
        self.train.restore("train", saved)
        self.validation.restore("validation", saved)
        self.subset.restore("subset", saved)
