"""Two arrays of logits -> the few numbers that are kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

ELEMENTS = 1 << 21
"""Logits that are compared at a time: the comparison works in float64."""


@dataclass(frozen=True, kw_only=True)
class Differences:
    """How the logits of one example differ, summed over its tokens; p is of the reference, q of the other model."""

    tokens: int
    """Tokens after which both were asked."""
    logits: int
    """Logits compared: tokens times vocabulary."""
    largest: float
    """Largest difference of a logit."""
    absolute: float
    """Sum of the differences' absolute values."""
    kl: float
    """Sum of sum p (log p - log q), in nats."""
    same_top: int
    """Tokens at which both give the same most likely token."""
    total: float
    """Sum of the reference's logits."""
    squares: float
    """Sum of their squares."""
    scored: int
    """Tokens of the answer, or of the document."""
    reference_nll: float
    """Negative log-likelihood of these tokens, in nats."""
    other_nll: float

    def __add__(self, more: Differences) -> Differences:
        summed = {one.name: getattr(self, one.name) + getattr(more, one.name) for one in fields(self)}
        return Differences(**{**summed, "largest": max(self.largest, more.largest)})


def differences(
    reference: NDArray[np.float32], other: NDArray[np.float32], ids: Sequence[int], scored: Sequence[int]
) -> Differences:
    """Compare the logits of one sequence.

    Args:
        reference: Shape (tokens, vocabulary).
        other: The same shape.
        ids: The tokens; shape (tokens,).
        scored: Places in `ids` whose likelihood counts; above 0.
    """
    step = max(1, ELEMENTS // reference.shape[1])
    targets = {place - 1: ids[place] for place in scored}
    parts = [
        _part(reference[start : start + step], other[start : start + step], start, targets)
        for start in range(0, len(reference), step)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _part(
    reference: NDArray[np.float32], other: NDArray[np.float32], start: int, targets: dict[int, int]
) -> Differences:
    exact, exact_other = reference.astype(np.float64), other.astype(np.float64)
    difference = np.abs(exact - exact_other)
    log_p, log_q = _log_softmax(exact), _log_softmax(exact_other)
    here = [(place - start, token) for place, token in targets.items() if 0 <= place - start < len(exact)]
    places, tokens = np.asarray(here, dtype=np.int64).reshape(-1, 2).T
    return Differences(
        tokens=len(exact),
        logits=exact.size,
        largest=float(difference.max()),
        absolute=float(difference.sum()),
        kl=float((np.exp(log_p) * (log_p - log_q)).sum()),
        same_top=int((exact.argmax(axis=1) == exact_other.argmax(axis=1)).sum()),
        total=float(exact.sum()),
        squares=float(np.square(exact).sum()),
        scored=len(here),
        reference_nll=float(-log_p[places, tokens].sum()),
        other_nll=float(-log_q[places, tokens].sum()),
    )


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    values: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return values
