"""Two arrays of logits -> the few numbers that are kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ELEMENTS = 1 << 16
"""Logits that are compared at a time: what fits a core's cache takes half the time."""
TOP = 5
"""Tokens whose order does not matter in `top5`."""
LARGEST_EXPONENT = 80.0
"""Differences beyond it overflow single precision."""
SMALL_EXPONENT = 0.01
"""Below it two terms of a series are exact to 1e-5."""
SMALL_GROWTH = 0.1
"""Below it a divergence is summed of terms above 0; beyond it a difference keeps more digits."""


@dataclass(frozen=True, kw_only=True, eq=False)
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
    kl: NDArray[np.float64]
    """sum p (log p - log q) of each token, in nats; shape (tokens,)."""
    same_top: int
    """Tokens at which both give the same most likely token."""
    same_top5: float
    """Sum of the share that the five most likely tokens have in common."""
    total: float
    """Sum of the reference's logits."""
    squares: float
    """Sum of their squares."""
    scored: int
    """Tokens of the answer, or of the document."""
    reference_nll: float
    """Negative log-likelihood of these tokens, in nats."""
    other_nll: float

    @property
    def kl_sum(self) -> float:
        """Sum of `kl`."""
        return float(self.kl.sum())

    @property
    def kl_largest(self) -> float:
        """Largest `kl` of a token."""
        return float(self.kl.max())

    def __add__(self, more: Differences) -> Differences:
        return Differences(
            tokens=self.tokens + more.tokens,
            logits=self.logits + more.logits,
            largest=max(self.largest, more.largest),
            absolute=self.absolute + more.absolute,
            kl=np.concatenate([self.kl, more.kl]),
            same_top=self.same_top + more.same_top,
            same_top5=self.same_top5 + more.same_top5,
            total=self.total + more.total,
            squares=self.squares + more.squares,
            scored=self.scored + more.scored,
            reference_nll=self.reference_nll + more.reference_nll,
            other_nll=self.other_nll + more.other_nll,
        )


@dataclass(frozen=True, eq=False)
class Compared:
    """One sequence with the logits that two models gave it."""

    reference: NDArray[np.float32]
    """Shape (tokens, vocabulary)."""
    other: NDArray[np.float32]
    ids: Sequence[int]
    """The tokens; shape (tokens,)."""
    scored: Sequence[int]
    """Places in `ids` whose likelihood counts; above 0."""


def differences(sequences: Sequence[Compared]) -> list[Differences]:
    """Compare the logits of sequences, many tokens at a time; one entry a sequence."""
    found: list[Differences | None] = [None] * len(sequences)
    for group in _groups(sequences):
        tokens = _tokens(
            _joined([sequences[index].reference[rows] for index, rows in group]),
            _joined([sequences[index].other[rows] for index, rows in group]),
        )
        start = 0
        for index, rows in group:
            size = rows.stop - rows.start
            part = _summed(tokens, slice(start, start + size), sequences[index], rows)
            known = found[index]
            found[index] = part if known is None else known + part
            start += size
    return [one for one in found if one is not None]


def _groups(sequences: Sequence[Compared]) -> list[list[tuple[int, slice]]]:
    """Pieces of sequences that are compared in one go, at most `ELEMENTS` logits together."""
    groups: list[list[tuple[int, slice]]] = []
    room = 0
    for index, sequence in enumerate(sequences):
        tokens, vocabulary = sequence.reference.shape
        most = max(1, ELEMENTS // vocabulary)
        start = 0
        while start < tokens:
            if room == 0:
                groups.append([])
                room = most
            stop = min(tokens, start + room)
            groups[-1].append((index, slice(start, stop)))
            room -= stop - start
            start = stop
    return groups


def _joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class _Tokens:
    """What is kept of every token; each of shape (tokens,)."""

    largest: NDArray[np.float32]
    absolute: NDArray[np.float64]
    kl: NDArray[np.float64]
    same_top: NDArray[np.bool_]
    same_top5: NDArray[np.float64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    normaliser: NDArray[np.float64]
    """Logarithm of the sum of the reference's exponentials."""
    moved: NDArray[np.float64]
    """How far the other model's normaliser is from it: log sum p exp(d), with d the difference of the logits."""


def _tokens(reference: NDArray[np.float32], other: NDArray[np.float32]) -> _Tokens:
    """In single precision where it is exact enough: the difference of close numbers has no rounding of its own.

    With d the difference of the logits less its mean under p, KL = log(1 + g) - m, where m = sum p d and
    g = m + sum p (exp(d) - 1 - d): a sum of terms above 0, which keeps its digits where p and q are close. The
    difference of two log-softmaxes would lose them.
    """
    rows = np.arange(len(reference))
    best = reference.argmax(axis=1)
    top = reference[rows, best]
    difference = other - reference
    size = np.abs(difference)
    weights = np.exp(reference - top[:, None])
    mass = weights.sum(axis=1)
    centre = _weighted(weights, difference) / mass
    difference -= centre[:, None]
    excess = (_weighted(weights, _excess(difference)) / mass).astype(np.float64)
    mean = _weighted(weights, difference).astype(np.float64) / mass  # what rounding left of it
    growth = mean + excess
    shift = np.log1p(growth)
    divergence = np.where(growth < SMALL_GROWTH, excess + (shift - growth), shift - mean)
    for row in np.flatnonzero(difference.max(axis=1) > LARGEST_EXPONENT):
        exact = weights[row].astype(np.float64) / weights[row].sum(dtype=np.float64)
        shift[row] = _log_mean_exp(exact, difference[row])
        divergence[row] = shift[row] - (exact * difference[row]).sum()
    return _Tokens(
        largest=size.max(axis=1),
        absolute=size.sum(axis=1).astype(np.float64),
        kl=np.maximum(divergence, 0.0),
        same_top=other.argmax(axis=1) == best,
        same_top5=_same_top(reference, other),
        total=reference.sum(axis=1).astype(np.float64),
        squares=_weighted(reference, reference).astype(np.float64),
        normaliser=top + np.log(mass.astype(np.float64)),
        moved=centre + shift,
    )


def _weighted(weights: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of products; shape (rows, columns) -> (rows,)."""
    found: NDArray[np.float32] = np.einsum("ij,ij->i", weights, values)
    return found


def _excess(exponent: NDArray[np.float32]) -> NDArray[np.float32]:
    """exp(x) - 1 - x, by its series where the subtraction would leave no digits."""
    series: NDArray[np.float32] = np.square(exponent) * (np.float32(0.5) + exponent / np.float32(6.0))
    if max(float(exponent.max()), -float(exponent.min())) < SMALL_EXPONENT:
        return series
    far = np.expm1(np.minimum(exponent, LARGEST_EXPONENT)) - exponent
    found: NDArray[np.float32] = np.where(np.abs(exponent) < SMALL_EXPONENT, series, far)
    return found


def _log_mean_exp(weights: NDArray[np.float64], exponents: NDArray[np.float32]) -> float:
    exact = exponents.astype(np.float64)
    top = exact.max()
    return float(top + np.log((weights * np.exp(exact - top)).sum()))


def _same_top(reference: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    count = min(TOP, reference.shape[1])
    in_both = np.ones(reference.shape, dtype=np.bool_)
    for logits in (reference, other):
        in_both &= logits >= np.partition(logits, -count, axis=1)[:, -count, None]
    shared: NDArray[np.float64] = np.minimum(in_both.sum(axis=1), count) / count
    return shared


def _summed(tokens: _Tokens, span: slice, sequence: Compared, rows: slice) -> Differences:
    """Sums over a sequence's piece: `span` in `tokens`, `rows` in the sequence."""
    places = [place for place in sequence.scored if rows.start < place <= rows.stop]
    before = np.asarray(places, dtype=np.int64) - 1
    targets = np.asarray([sequence.ids[place] for place in places], dtype=np.int64)
    at = before - rows.start + span.start
    reference = sequence.reference[before, targets].astype(np.float64)
    other = sequence.other[before, targets].astype(np.float64)
    return Differences(
        tokens=span.stop - span.start,
        logits=(span.stop - span.start) * sequence.reference.shape[1],
        largest=float(tokens.largest[span].max()),
        absolute=float(tokens.absolute[span].sum()),
        kl=tokens.kl[span],
        same_top=int(tokens.same_top[span].sum()),
        same_top5=float(tokens.same_top5[span].sum()),
        total=float(tokens.total[span].sum()),
        squares=float(tokens.squares[span].sum()),
        scored=len(places),
        reference_nll=float((tokens.normaliser[at] - reference).sum()),
        other_nll=float((tokens.normaliser[at] + tokens.moved[at] - other).sum()),
    )
