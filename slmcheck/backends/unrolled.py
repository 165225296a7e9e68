"""Token trees as plain sequences, for engines whose rows cannot branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slmcheck.backends.protocol import TokenTree


@dataclass(frozen=True)
class Question:
    """Where the answer to a question of a tree is found."""

    tree: int
    number: int
    """Of the question within its tree."""
    place: int
    """In the row's tokens."""
    target: int


@dataclass(frozen=True)
class Row:
    """One path of a tree, from its first token or from where it leaves the trunk."""

    tree: int
    seen: int
    """Tokens of the trunk that stand before it."""
    tokens: list[int]
    nodes: list[int]
    """The node of each token in its tree."""
    questions: list[Question]

    @property
    def first_asked(self) -> int:
        """The first place that is asked; the last place where other rows answer everything."""
        return min((question.place for question in self.questions), default=len(self.tokens) - 1)


def whole_rows(trees: Sequence[TokenTree]) -> list[Row]:
    """One row for each path that no longer path contains, each with its prompt."""
    return [row for index, tree in enumerate(trees) for row in _rows(index, tree, trunk=0)]


def trunk_rows(trees: Sequence[TokenTree]) -> tuple[list[Row], list[Row]]:
    """The trunk of every tree, and the paths that leave it, without the trunk."""
    trunks, branches = [], []
    for index, tree in enumerate(trees):
        trunk = tree.trunk
        questions = [
            Question(index, number, int(node), int(target))
            for number, (node, target) in enumerate(zip(tree.asked, tree.targets, strict=True))
            if node < trunk
        ]
        trunks.append(Row(index, 0, tree.tokens[:trunk].tolist(), list(range(trunk)), questions))
        branches.extend(_rows(index, tree, trunk=trunk))
    return trunks, branches


def _rows(index: int, tree: TokenTree, *, trunk: int) -> list[Row]:
    """Paths of the nodes from `trunk` on; children stand behind their parents, so deep nodes are met first."""
    rows: list[Row] = []
    located: dict[int, tuple[int, int]] = {}
    for end in sorted({int(node) for node in tree.asked if node >= trunk}, reverse=True):
        if end in located:
            continue
        path = [node for node in tree.path(end) if node >= trunk]
        located.update({node: (len(rows), place) for place, node in enumerate(path)})
        rows.append(Row(index, int(tree.parents[path[0]]) + 1, tree.tokens[path].tolist(), path, []))
    for number, (node, target) in enumerate(zip(tree.asked.tolist(), tree.targets.tolist(), strict=True)):
        if node >= trunk:
            row, place = located[node]
            rows[row].questions.append(Question(index, number, place, target))
    return rows
