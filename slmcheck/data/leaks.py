"""Evaluation rows that training rows give away: equal inputs, shared n-grams, near-duplicates by MinHash.

An n-gram finds a long text of which half stands in a training row; a MinHash finds short ones in which a word was
changed. Candidates of the MinHash are verified by their exact Jaccard similarity, so hashing decides only the speed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from slmcheck.data.digests import normalized_input
from slmcheck.data.templates import text_of
from slmcheck.records import Example

Hashes: TypeAlias = NDArray[np.uint64]

SHORT_GRAM, LONG_GRAM = 8, 13
LONG_ROW_WORDS = 50
"""From so many words on the longer n-gram is used."""
SHARED_GRAMS = 0.5
"""Share of a row's n-grams in the training rows from which on it counts as known."""
SIMILAR = 0.8
"""Jaccard similarity of words and word pairs from which on two rows are near-duplicates."""
PERMUTATIONS, BANDS = 128, 16
LEAST_WORDS = 4
"""Shorter rows are too short to be near-duplicates of anything: they are equal or they are not."""
_PRIME = np.uint64((1 << 31) - 1)
_PAIR = np.uint64(0x9E3779B1)
_WORD = re.compile(r"\w+", re.UNICODE)
_CHUNK = 200_000


@dataclass(frozen=True, kw_only=True)
class Leak:
    """An evaluation row and the training row that gives it away."""

    row: Example
    known: Example | None
    """The training row; None where the n-grams come from several."""
    is_exact: bool
    """Whether the normalised inputs are equal."""
    similarity: float
    """1 for equal inputs, the share of known n-grams, or the Jaccard similarity."""


def find_leaks(train: Sequence[Example], rows: Sequence[Example]) -> tuple[Leak, ...]:
    """The rows that training rows give away, in their order.

    Args:
        train: Training rows.
        rows: Rows of an evaluation split.
    """
    by_input = {normalized_input(item): item for item in train}
    found: dict[int, Leak] = {}
    for place, item in enumerate(rows):
        known = by_input.get(normalized_input(item))
        if known is not None:
            found[place] = Leak(row=item, known=known, is_exact=True, similarity=1.0)
    rest = [place for place in range(len(rows)) if place not in found]
    if train and rest:
        frame = _frame((*train[:200], *rows[:200]))
        known_words = [_words(item, frame) for item in train]
        asked_words = [_words(rows[place], frame) for place in rest]
        for at, share in _shared_grams(known_words, asked_words):
            found[rest[at]] = Leak(row=rows[rest[at]], known=None, is_exact=False, similarity=share)
        for at, other, similarity in _similar(known_words, asked_words):
            place = rest[at]
            if place not in found or found[place].known is None:
                found[place] = Leak(row=rows[place], known=train[other], is_exact=False, similarity=similarity)
    return tuple(found[place] for place in sorted(found))


def input_text(example: Example) -> str:
    """What the user wrote in a row: the prompt, or the last message before the answer; a document itself."""
    if example.messages:
        return text_of(example.messages[-2].get("content")) if len(example.messages) > 1 else ""
    return example.prompt or example.answer


def _frame(examples: Sequence[Example]) -> tuple[int, int]:
    """How many words at the start and at the end all inputs share: the template, which makes nothing alike."""
    texts = [_WORD.findall(input_text(item).casefold()) for item in examples]
    shortest = min((len(text) for text in texts), default=0)
    if len(texts) < 2:
        return 0, 0
    start = next((n for n in range(shortest) if len({text[n] for text in texts}) > 1), shortest)
    room = shortest - start
    end = next((n for n in range(room) if len({text[-1 - n] for text in texts}) > 1), room)
    return start, end


def _words(example: Example, frame: tuple[int, int]) -> list[str]:
    words = _WORD.findall(input_text(example).casefold())
    return words[frame[0] : len(words) - frame[1]]


def _grams(words: Sequence[str]) -> set[int]:
    size = LONG_GRAM if len(words) > LONG_ROW_WORDS else SHORT_GRAM
    return {hash(tuple(words[at : at + size])) for at in range(len(words) - size + 1)}


def _shared_grams(known: Sequence[Sequence[str]], asked: Sequence[Sequence[str]]) -> Iterator[tuple[int, float]]:
    """Places of rows of which half of the n-grams stand in training rows, with their share."""
    wanted = [_grams(words) for words in asked]
    interesting = set().union(*wanted)
    if not interesting:
        return
    seen: set[int] = set()
    for words in known:
        for size in (SHORT_GRAM, LONG_GRAM):
            grams = {hash(tuple(words[at : at + size])) for at in range(len(words) - size + 1)}
            seen |= grams & interesting
    for at, grams in enumerate(wanted):
        share = len(grams & seen) / len(grams) if grams else 0.0
        if grams and share >= SHARED_GRAMS:
            yield at, share


def _similar(known: Sequence[Sequence[str]], asked: Sequence[Sequence[str]]) -> Iterator[tuple[int, int, float]]:
    """Places of near-duplicates: asked row, training row, similarity; the most similar training row of each."""
    hashes: dict[str, int] = {}
    shingles = [_shingles(words, hashes) for words in (*known, *asked)]
    bands = _bands(shingles)
    buckets: dict[tuple[int, int], list[int]] = {}
    for place in range(len(known)):
        for band, value in enumerate(bands[place].tolist()):
            if value:
                buckets.setdefault((band, value), []).append(place)
    for at in range(len(asked)):
        own = set(shingles[len(known) + at].tolist())
        candidates = {
            other
            for band, value in enumerate(bands[len(known) + at].tolist())
            if value
            for other in buckets.get((band, value), [])[:50]
        }
        best = max(((_jaccard(own, set(shingles[other].tolist())), -other) for other in candidates), default=(0.0, 0))
        if best[0] >= SIMILAR:
            yield at, -best[1], best[0]


def _jaccard(one: set[int], other: set[int]) -> float:
    return len(one & other) / len(one | other) if one or other else 0.0


def _shingles(words: Sequence[str], hashes: dict[str, int]) -> Hashes:
    """Hashes of the words and word pairs of a row, each once; none of a row that is too short."""
    if len(words) < LEAST_WORDS:
        return np.empty(0, dtype=np.uint64)
    for word in words:
        if word not in hashes:
            hashes[word] = crc32(word.encode("utf-8", "surrogatepass"))
    single = np.array([hashes[word] for word in words], dtype=np.uint64)
    pairs = (single[:-1] * _PAIR + single[1:]) & np.uint64(0xFFFFFFFF)
    return np.unique(np.concatenate([single, pairs]))


def _bands(shingles: Sequence[Hashes]) -> Hashes:
    """A value for each band of each row, 0 for a row without shingles; shape (rows, BANDS).

    Rows whose Jaccard similarity is s share a band with probability 1 - (1 - s^8)^16: 0.94 at 0.8.
    """
    rng = np.random.default_rng(20240726)
    factors = rng.integers(1, int(_PRIME), PERMUTATIONS, dtype=np.uint64)
    offsets = rng.integers(0, int(_PRIME), PERMUTATIONS, dtype=np.uint64)
    signature = np.zeros((len(shingles), PERMUTATIONS), dtype=np.uint64)
    start = 0
    while start < len(shingles):
        end, total = start, 0
        while end < len(shingles) and (end == start or total + len(shingles[end]) <= _CHUNK):
            total += len(shingles[end])
            end += 1
        lengths = np.array([len(item) for item in shingles[start:end]])
        filled = np.flatnonzero(lengths)
        if len(filled):
            flat = np.concatenate([shingles[start + place] for place in filled.tolist()]) % _PRIME
            starts = np.concatenate([[0], np.cumsum(lengths[filled])[:-1]])
            for number in range(PERMUTATIONS):
                mixed = (flat * factors[number] + offsets[number]) % _PRIME
                signature[start + filled, number] = np.minimum.reduceat(mixed, starts) + np.uint64(1)
        start = end
    weights = rng.integers(1, 1 << 62, PERMUTATIONS // BANDS, dtype=np.uint64) | np.uint64(1)
    parts = signature.reshape(len(shingles), BANDS, PERMUTATIONS // BANDS)
    return np.asarray((parts * weights).sum(axis=2, dtype=np.uint64))
