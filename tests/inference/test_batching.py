"""Batches are bounded, come back with their items, and are halved where memory ends."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from slmcheck.errors import PredictionError
from slmcheck.inference.batching import batches, halving, run_batches

MEMORY = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."


@dataclass
class Workers:
    """As much of a model as batching looks at."""

    workers: int


def doubled(items: Sequence[int]) -> list[int]:
    return [2 * item for item in items]


def limited(most: int, seen: list[int]):
    """Doubles at most so many items at a time."""

    def run(items: Sequence[int]) -> list[int]:
        seen.append(len(items))
        if len(items) > most:
            raise RuntimeError(MEMORY)
        return doubled(items)

    return run


def test_batches_hold_the_largest_first_and_keep_the_budget():
    found = batches([3, 9, 1, 4, 12, 2], lambda item: item, budget=10)
    assert found == [[12], [9], [4, 3, 2, 1]]


def test_items_that_must_be_alone_are_alone():
    assert batches([3, 1], lambda item: item, budget=10, alone=True) == [[3], [1]]


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_with_their_items(workers):
    work = batches(list(range(20)), lambda item: item, budget=15)
    finished = list(run_batches(Workers(workers), work, doubled))
    pairs = sorted(pair for batch in finished for pair in batch)
    assert pairs == [(item, 2 * item) for item in range(20)]
    assert len(finished) == len(work)


def test_several_threads_work_at_once():
    barrier = threading.Barrier(2, timeout=10)

    def meet(items: Sequence[int]) -> list[int]:
        barrier.wait()
        return doubled(items)

    assert len(list(run_batches(Workers(2), [[1], [2]], meet))) == 2


def test_a_batch_is_halved_until_it_fits():
    seen: list[int] = []
    assert halving(limited(3, seen), list(range(10))) == doubled(range(10))
    assert seen == [10, 5, 2, 3, 5, 2, 3]


def test_one_item_without_memory_is_an_error():
    with pytest.raises(PredictionError, match=r"(?s)more memory than this machine has: .*9 bytes.*Shorten"):
        halving(limited(0, []), [1, 2])


def test_other_errors_are_not_swallowed():
    def broken(items: Sequence[int]) -> list[int]:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        halving(broken, [1, 2])


def test_an_error_ends_the_work_of_all_threads():
    def broken(items: Sequence[int]) -> list[int]:
        raise ValueError(f"planted at {items[0]}")

    with pytest.raises(ValueError, match="planted"):
        list(run_batches(Workers(2), [[1], [2], [3]], broken))
