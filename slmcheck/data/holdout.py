"""Training rows set aside for validation: stratified by class, duplicates and groups on one side."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from slmcheck.data.digests import normalized_input
from slmcheck.records import Example


def hold_out(
    examples: Sequence[Example], share: float, *, stratified: bool
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Training and validation rows, each in file order.

    Rows with the same normalised input, or the same group, form a bundle that stays on one side. Which bundles
    validate depends on their content only, never on a seed or on the order of the file: seeds of one recipe share
    their validation rows, and adding rows moves few others.

    Args:
        examples: All training rows.
        share: Wanted share of validation rows, between 0 and 1.
        stratified: Whether each class keeps its share (largest remainders decide the odd rows).
    """
    bundles = _bundles(examples)
    strata: dict[str, list[list[int]]] = {}
    for bundle in bundles:
        strata.setdefault(_stratum(examples, bundle) if stratified else "", []).append(bundle)
    sizes = {name: sum(map(len, members)) for name, members in strata.items()}
    held: set[int] = set()
    for name, quota in _quotas(sizes, share).items():
        held.update(_take(examples, strata[name], quota))
    return (
        tuple(item for index, item in enumerate(examples) if index not in held),
        tuple(item for index, item in enumerate(examples) if index in held),
    )


def _bundles(examples: Sequence[Example]) -> list[list[int]]:
    """Indices of rows that must stay together: connected by equal inputs or equal groups."""
    parent = list(range(len(examples)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[tuple[str, str], int] = {}
    for index, item in enumerate(examples):
        marks = [("input", normalized_input(item))]
        if item.group is not None:
            marks.append(("group", item.group))
        for mark in marks:
            parent[root(index)] = root(first.setdefault(mark, index))
    bundles: dict[int, list[int]] = {}
    for index in range(len(examples)):
        bundles.setdefault(root(index), []).append(index)
    return list(bundles.values())


def _stratum(examples: Sequence[Example], bundle: Sequence[int]) -> str:
    counts = Counter(examples[index].references[0] for index in bundle)
    return min(counts, key=lambda label: (-counts[label], label))


def _quotas(sizes: Mapping[str, int], share: float) -> dict[str, int]:
    """Validation rows of each stratum: floors, then the largest remainders; one row of each always trains."""
    wanted = {name: size * share for name, size in sizes.items()}
    quotas = {name: math.floor(number) for name, number in wanted.items()}
    left = round(share * sum(sizes.values())) - sum(quotas.values())
    for name in sorted(wanted, key=lambda name: (quotas[name] - wanted[name], name))[: max(left, 0)]:
        quotas[name] += 1
    if not any(quotas.values()) and sizes:
        quotas[max(sizes, key=lambda name: (sizes[name], name))] = 1
    return {name: min(quota, sizes[name] - 1) for name, quota in quotas.items()}


def _take(examples: Sequence[Example], bundles: Sequence[Sequence[int]], quota: int) -> list[int]:
    """Rows of whole bundles, in the order of their hashes, as close to the quota as they come from below.

    A bundle larger than what is left of the quota is passed over, so that one big group cannot swallow the split; where
    all are larger, the smallest validates, unless it is more than half of the rows.
    """
    taken: list[int] = []
    ranked = sorted(bundles, key=lambda members: _rank(examples, members))
    for bundle in ranked:
        if len(taken) + len(bundle) <= quota:
            taken += bundle
    if quota and not taken:
        smallest = min(ranked, key=len)
        return list(smallest) if 2 * len(smallest) <= sum(map(len, bundles)) else []
    return taken


def _rank(examples: Sequence[Example], bundle: Sequence[int]) -> tuple[str, str]:
    text = min(normalized_input(examples[index]) for index in bundle)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), text
