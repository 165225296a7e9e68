"""Token trees end to end in one row, with what their prompts begin with standing there once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slmcheck.backends.protocol import TokenTree

SHARED_FROM = 32
"""A common beginning of at least this many tokens is read once for all trees of a row."""


@dataclass(frozen=True, eq=False)
class Segment:
    """The tokens of one tree within the row."""

    start: int
    trunk: int
    """Leading tokens that follow each other; they see what stands before them."""
    visible: NDArray[np.bool_] | None
    """For each token behind the trunk, the tokens of the segment that it sees; shape (branches, tokens)."""
    positions: NDArray[np.int64]
    """Depth of each token in its tree; shape (tokens,)."""
    shared: int = 0
    """Tokens at the beginning of the row that stand before all tokens of the segment."""

    @property
    def stop(self) -> int:
        """Where the next segment starts."""
        return self.start + len(self.positions)

    def sees(self) -> NDArray[np.bool_]:
        """What each token sees of the shared tokens and then of its own segment; shape (tokens, shared + tokens)."""
        own = np.tri(len(self.positions), dtype=bool)
        if self.visible is not None:
            own[self.trunk :] = self.visible
        return np.concatenate([np.ones((len(own), self.shared), dtype=bool), own], axis=1)


@dataclass(frozen=True, eq=False)
class Layout:
    """A row of trees."""

    tokens: NDArray[np.int64]
    """Shape (tokens,)."""
    positions: NDArray[np.int64]
    """Depth of each token in its tree; shape (tokens,)."""
    segments: list[Segment]
    asked: NDArray[np.int64]
    """For every question of every tree, the place in the row after which the next token is asked."""


def plain_segments(lengths: Sequence[int]) -> list[Segment]:
    """Sequences without branches, one behind the other."""
    starts = np.cumsum([0, *lengths])
    return [
        Segment(int(start), length, None, np.arange(length, dtype=np.int64))
        for start, length in zip(starts[:-1], lengths, strict=True)
    ]


def lay_out(trees: Sequence[TokenTree], *, shared_from: int = SHARED_FROM) -> Layout:
    """Trees end to end; a common beginning of at least `shared_from` tokens becomes a segment of its own."""
    shared = common_beginning(trees) if len(trees) > 1 else 0
    if shared < shared_from:
        shared = 0
    beginning = np.arange(shared, dtype=np.int64)
    segments = [Segment(0, shared, None, beginning)] if shared else []
    tokens, positions, asked, start = [trees[0].tokens[:shared]], [beginning], [], shared
    for tree in trees:
        segment = _segment(tree, start, shared)
        segments.append(segment)
        tokens.append(tree.tokens[shared:])
        positions.append(segment.positions)
        asked.append(np.where(tree.asked < shared, tree.asked, tree.asked + start - shared))
        start = segment.stop
    return Layout(np.concatenate(tokens), np.concatenate(positions), segments, np.concatenate(asked))


def common_beginning(trees: Sequence[TokenTree]) -> int:
    """How many tokens all trees begin with; each keeps one token of its trunk for itself."""
    shortest = min(tree.trunk for tree in trees) - 1
    first = trees[0].tokens[: max(0, shortest)]
    for tree in trees[1:]:
        differing = np.flatnonzero(first != tree.tokens[: len(first)])
        if len(differing):
            first = first[: differing[0]]
    return len(first)


def _segment(tree: TokenTree, start: int, shared: int) -> Segment:
    trunk, nodes = tree.trunk, len(tree.tokens)
    visible = None
    if trunk < nodes:
        seen = np.zeros((nodes - trunk, nodes), dtype=bool)
        for node in range(trunk, nodes):
            parent = int(tree.parents[node])
            seen[node - trunk] = seen[parent - trunk] if parent >= trunk else np.arange(nodes) <= parent
            seen[node - trunk, node] = True
        visible = seen[:, shared:]
    return Segment(start, trunk - shared, visible, tree.positions()[shared:], shared)
