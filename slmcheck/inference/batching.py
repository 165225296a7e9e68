"""Work in batches of bounded size, several at a time where that pays, halved where memory ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

from slmcheck.backends import SHARED_FROM, LanguageModel, TokenTree, common_beginning, free_memory, is_out_of_memory
from slmcheck.errors import PredictionError

Item = TypeVar("Item")
Result = TypeVar("Result")


BEGINNINGS = 4
"""A batch holds at least this many times the tokens that all its rows begin with."""


def batches(
    items: Sequence[Item], size: Callable[[Item], int], *, budget: int, alone: bool = False
) -> list[list[Item]]:
    """Items sorted by size, the largest first, in batches of at most `budget` in all; a larger item stands alone."""
    found: list[list[Item]] = []
    room = 0
    for item in sorted(items, key=size, reverse=True):
        if not found or alone or size(item) > room:
            found.append([])
            room = budget
        found[-1].append(item)
        room -= size(item)
    return found


def tree_batches(
    model: LanguageModel, items: Sequence[Item], tree: Callable[[Item], TokenTree], *, budget: int
) -> list[list[Item]]:
    """Items with their token trees in batches of one forward pass.

    What all trees begin with is read once a batch where the model can do that; batches then hold several times as many
    tokens as it has, so that it pays.

    Args:
        model: Says what it can do.
        items: What is asked.
        tree: The tree of an item.
        budget: Tokens of a batch.
    """
    shared = common_beginning([tree(item) for item in items]) if model.shares_beginnings and len(items) > 1 else 0
    if shared < SHARED_FROM:
        shared = 0
    return batches(
        items,
        lambda item: len(tree(item).tokens) - shared,
        budget=max(budget, BEGINNINGS * shared) - shared,
        alone=model.rows_alone,
    )


def run_batches(
    model: LanguageModel, work: Sequence[Sequence[Item]], run: Callable[[Sequence[Item]], list[Result]]
) -> Iterator[list[tuple[Item, Result]]]:
    """Results of each batch with their items, as batches finish.

    Args:
        model: Says how many threads may ask it at once.
        work: Batches, the largest first.
        run: Gives one result an item; is called from several threads.

    Raises:
        PredictionError: If one item alone needs more memory than there is.
    """
    if model.workers == 1 or len(work) == 1:
        for batch in work:
            yield list(zip(batch, halving(run, batch), strict=True))
        return
    with ThreadPoolExecutor(model.workers, thread_name_prefix="slmcheck") as pool:
        futures: dict[Future[list[Result]], Sequence[Item]] = {
            pool.submit(halving, run, batch): batch for batch in work
        }
        try:
            for future in as_completed(futures):
                yield list(zip(futures.pop(future), future.result(), strict=True))
        finally:
            for future in futures:
                future.cancel()


def halving(run: Callable[[Sequence[Item]], list[Result]], batch: Sequence[Item]) -> list[Result]:
    """Run a batch; where memory ends, in two halves.

    Raises:
        PredictionError: If one item alone needs more memory than there is.
    """
    try:
        return run(batch)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if len(batch) == 1:
            raise PredictionError(
                f"One row needs more memory than this machine has: {str(error).strip().splitlines()[0]}\n"
                "Shorten the longest rows, use a smaller base model, or another device (--slm-device)."
            ) from error
    free_memory()
    middle = len(batch) // 2
    return [*halving(run, batch[:middle]), *halving(run, batch[middle:])]
