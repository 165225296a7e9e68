"""Where trees stand in a row, and who sees whom."""

from __future__ import annotations

import numpy as np
import pytest

from slmcheck.backends.layout import common_beginning, lay_out
from slmcheck.backends.protocol import PaddedBatch, TokenTree


def tree(tokens: list[int], parents: list[int], asked: list[int]) -> TokenTree:
    parts = (tokens, parents, asked, [0] * len(asked))
    return TokenTree(*(np.asarray(part, dtype=np.int64) for part in parts))


BRANCHED = tree([5, 6, 7, 8, 9, 10], [-1, 0, 1, 2, 1, 4], [3, 5, 1])
"""5 6 followed by 7 8 or by 9 10."""


def test_the_trunk_ends_where_a_branch_leaves_it():
    assert BRANCHED.trunk == 4
    assert TokenTree.sequence([1, 2, 3], [1, 2]).trunk == 2


def test_positions_are_depths():
    assert BRANCHED.positions().tolist() == [0, 1, 2, 3, 2, 3]


def test_a_path_leads_from_the_first_token():
    assert BRANCHED.path(5) == [0, 1, 4, 5]
    assert BRANCHED.path(2) == [0, 1, 2]


def test_a_sequence_is_asked_at_the_places_before_its_targets():
    found = TokenTree.sequence([4, 5, 6, 7], [1, 3])
    assert (found.tokens.tolist(), found.asked.tolist(), found.targets.tolist()) == ([4, 5, 6], [0, 2], [5, 7])


def test_branches_see_their_own_path():
    (segment,) = lay_out([BRANCHED]).segments
    assert segment.sees()[4:].astype(int).tolist() == [[1, 1, 0, 0, 1, 0], [1, 1, 0, 0, 1, 1]]


def test_trees_without_a_long_common_beginning_stand_end_to_end():
    row = lay_out([BRANCHED, tree([5, 6], [-1, 0], [1])])
    assert row.tokens.tolist() == [5, 6, 7, 8, 9, 10, 5, 6]
    assert [segment.start for segment in row.segments] == [0, 6]
    assert row.asked.tolist() == [3, 5, 1, 7]


def test_a_common_beginning_stands_once():
    other = tree([5, 6, 11], [-1, 0, 1], [0, 2])
    row = lay_out([BRANCHED, other], shared_from=2)
    assert row.tokens.tolist() == [5, 6, 7, 8, 9, 10, 11]
    assert row.positions.tolist() == [0, 1, 2, 3, 2, 3, 2]
    assert row.asked.tolist() == [3, 5, 1, 0, 6]
    assert [segment.shared for segment in row.segments] == [0, 2, 2]
    assert row.segments[1].sees()[-1].astype(int).tolist() == [1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("others", "expected"),
    [([[5, 6, 7]], 2), ([[5, 6, 7], [5, 9, 9]], 1), ([[4, 6, 7]], 0), ([[5, 6, 7, 8, 9]], 3), ([[5]], 0)],
)
def test_every_tree_keeps_a_token_of_its_own(others, expected):
    trees = [tree([5, 6, 7, 8], [-1, 0, 1, 2], [3])]
    trees += [tree(tokens, list(range(-1, len(tokens) - 1)), [0]) for tokens in others]
    assert common_beginning(trees) == expected


def test_padding_stands_on_one_side_and_is_not_counted():
    left = PaddedBatch.of([[7, 8], [9]], pad_id=0, pad_left=True, padding=1)
    assert left.ids.tolist() == [[0, 7, 8], [0, 0, 9]]
    assert left.mask.tolist() == [[0, 1, 1], [0, 0, 1]]
    assert left.positions.tolist() == [[0, 0, 1], [0, 0, 0]]
    right = PaddedBatch.of([[7, 8], [9]], pad_id=0, pad_left=False)
    assert right.ids.tolist() == [[7, 8], [9, 0]]
    assert right.positions.tolist() == [[0, 1], [0, 0]]
