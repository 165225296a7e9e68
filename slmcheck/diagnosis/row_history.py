"""What a training noted of each row while it learned: the reading side of `rows.npz`."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FILE_NAME = "rows.npz"
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitHistory:
    """The rows of one split, a line an epoch or an evaluation."""

    ids: tuple[str, ...]
    tokens: Floats
    """Supervised tokens of each row; shape (rows,)."""
    nll: Floats
    """Summed nats of each row; shape (lines, rows), NaN where a row was not seen."""
    correct: Floats
    """1 where every supervised token was the most likely one, else 0; shape (lines, rows), NaN where not seen."""
    steps: tuple[int, ...] = ()
    """The step of each line; empty for training rows, whose lines are epochs."""

    def line_at(self, step: int) -> int | None:
        """The line of an evaluation; None where there was none at that step."""
        return self.steps.index(step) if step in self.steps else None


@dataclass(frozen=True, kw_only=True, eq=False)
class RowHistory:
    """What a training noted of its rows."""

    train: SplitHistory
    validation: SplitHistory
    subset: SplitHistory
    """A fixed part of the training rows, in evaluation mode."""

    @property
    def online_correct(self) -> Floats:
        """Whether each training row was right when it was first read, before any update had used it."""
        first = self.train.correct[0] if len(self.train.correct) else np.empty(0)
        return np.asarray(first[np.isfinite(first)])


def read_rows(path: Path) -> RowHistory | None:
    """The record of a training; None where there is none, or it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            saved = dict(file)
        return RowHistory(
            train=_split("train", saved), validation=_split("validation", saved), subset=_split("subset", saved)
        )
    except (FileNotFoundError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None  # a trainer of another kind writes none, and what lacks it only looks at less


def _split(name: str, saved: dict[str, NDArray[np.generic]]) -> SplitHistory:
    correct = np.asarray(saved[f"{name}_correct"], dtype=np.float64)
    return SplitHistory(
        ids=tuple(str(item) for item in saved[f"{name}_ids"]),
        tokens=np.asarray(saved[f"{name}_tokens"], dtype=np.float64),
        nll=np.asarray(saved[f"{name}_nll"], dtype=np.float64),
        correct=np.where(correct < 0, np.nan, correct),
        steps=tuple(int(step) for step in saved.get(f"{name}_steps", np.empty(0, dtype=np.int64))),
    )
