"""What a run on real data took and scored, in lines to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from slmcheck import Run, Score
from slmcheck.evaluation.held import held_scores


@dataclass(frozen=True)
class Account:
    """The text of one run."""

    title: str
    lines: tuple[str, ...]


def account_of(run: Run) -> Account:
    """The account of a run: resources, losses and every score that was asked for, with the base model's beside it."""
    return Account(run.recipe.name, tuple(_lines(run)))


def _lines(run: Run) -> Iterator[str]:
    took = run.resources
    peak = (took.peak_memory_bytes or 0) / 2**20
    yield (
        f"{took.seconds:.1f} s wall, {took.cpu_seconds:.1f} CPU s, {peak:.0f} MiB peak, "
        f"{took.tokens:,} tokens, {took.trained_parameters:,} of {took.total_parameters:,} parameters trained"
    )
    losses = [point.validation_loss for point in run.history if point.validation_loss is not None]
    yield f"validation loss {losses[0]:.4f} -> {min(losses):.4f} at step {run.record.best_step}"
    names = dict.fromkeys(held.metric for held in held_scores(run) if held.split == "test" and not held.variant)
    for name in names:
        score = run.measure(name)
        yield f"{name:18} {_shown(score)}   base {_shown(run.base.measure(name))}   n {score.n}"


def _shown(score: Score) -> str:
    low, high = score.interval or (float("nan"), float("nan"))
    return f"{float(score):.4f} [{low:.4f}, {high:.4f}]"
