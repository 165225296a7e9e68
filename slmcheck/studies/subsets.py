"""Nested parts of the training rows: what is in a quarter is in the half."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from slmcheck.data import Splits
from slmcheck.data.digests import normalized_input
from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.records import Example, Json, Recipe, Split


def nested_subset(splits: Splits, recipe: Recipe, fraction: float, *, seed: int = 0) -> Splits:
    """The same splits with part of the training rows, in file order; validation and test stay whole.

    Each class keeps its share, one row at least. Rows are taken in an order that depends on their content and the seed
    only, so a larger part holds every row of a smaller one, and another order of the file gives the same parts.

    Args:
        splits: All rows.
        recipe: Says whether there are classes.
        fraction: Share of the training rows, above 0 and at most 1.
        seed: Another seed takes other rows.
    """
    if fraction >= 1.0:
        return splits
    strata: dict[str, list[int]] = {}
    for index, example in enumerate(splits.train):
        name = example.references[0] if recipe.task in CLASSIFICATIONS else ""
        strata.setdefault(name, []).append(index)
    kept = set[int]()
    for members in strata.values():
        count = max(1, round(fraction * len(members)))
        kept.update(sorted(members, key=lambda index: _rank(splits.train, index, seed))[:count])
    train = tuple(example for index, example in enumerate(splits.train) if index in kept)
    # A part of a hub data set is identified by its rows, not by the name of the whole.
    identities: dict[Split, Json] = {name: value for name, value in splits.identities.items() if name != "train"}
    return replace(splits, train=train, identities=identities)


def _rank(examples: Sequence[Example], index: int, seed: int) -> tuple[str, int]:
    text = f"{seed}\n{normalized_input(examples[index])}\n{examples[index].id}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), index
