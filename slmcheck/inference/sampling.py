"""Choosing the next token."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from slmcheck.errors import PredictionError


def row_generator(row: str, sample: int) -> np.random.Generator:
    """Random numbers of one sample of one row: the same in whatever company the row is generated."""
    seed = hashlib.sha256(f"{row}/{sample}".encode()).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(seed[:16], "little")))


def choose(logits: NDArray[np.float32], *, temperature: float, top_p: float, uniform: float) -> int:
    """A token drawn from the distribution of `logits`.

    Args:
        logits: Of the next token; shape (vocabulary,).
        temperature: Above 0; smaller is closer to greedy.
        top_p: Only the most likely tokens whose probabilities sum to this much are drawn; in (0, 1].
        uniform: A random number in [0, 1).
    """
    scaled = (logits.astype(np.float64) - logits.max()) / temperature
    order = np.argsort(-scaled, kind="stable")
    cumulative = np.cumsum(np.exp(scaled[order]))
    cumulative /= cumulative[-1]
    kept = int(np.searchsorted(cumulative, top_p)) + 1 if top_p < 1.0 else len(order)
    within = cumulative[: min(kept, len(order))]
    return int(order[np.searchsorted(within, uniform * within[-1], side="right")])


def greedy(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """The most likely tokens, the smallest id among equals; shape (rows, vocabulary) -> (rows,).

    Raises:
        PredictionError: If logits are not numbers.
    """
    tokens: NDArray[np.int64] = logits.argmax(axis=1)
    best = logits[np.arange(len(logits)), tokens]
    if np.isnan(best).any():  # argmax returns the place of a NaN
        raise PredictionError(
            "The model gives logits that are not numbers.\n"
            "Its weights or activations are not finite: look at the losses of the training."
        )
    return tokens
