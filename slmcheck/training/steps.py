"""How many updates a recipe makes, and after which of them it evaluates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from slmcheck.records import Recipe

DEFAULT_EPOCHS = 3.0
EVALUATIONS = 10
FEWEST_EVALUATIONS = 5
"""Fewer points say nothing of a trend (the exact test of Mann and Kendall needs five)."""
EVALUATION_SHARE = 0.1
"""The part of the time that evaluations may take, where that leaves enough of them."""
FORWARD_SHARE = 1 / 3
"""Cost of a forward pass in units of an update's cost, per token."""


@dataclass(frozen=True, kw_only=True)
class UpdatePlan:
    """The updates of a training."""

    total_steps: int
    steps_per_epoch: int
    eval_steps: int
    warmup_steps: int


def plan_updates(recipe: Recipe, *, rows: int, row_tokens: int, evaluated_tokens: int) -> UpdatePlan:
    """The updates that `recipe` makes.

    Args:
        recipe: The recipe.
        rows: Training rows.
        row_tokens: Tokens of all training rows together.
        evaluated_tokens: Tokens of all rows that one evaluation reads.
    """
    batches = math.ceil(rows / recipe.per_device_train_batch_size)
    accumulation = min(recipe.gradient_accumulation_steps, batches)
    per_epoch = math.ceil(batches / recipe.gradient_accumulation_steps)
    epochs = recipe.num_train_epochs if recipe.num_train_epochs is not None else DEFAULT_EPOCHS
    total = recipe.max_steps if recipe.max_steps is not None else max(1, math.ceil(epochs * per_epoch))
    step_tokens = row_tokens / rows * recipe.per_device_train_batch_size * accumulation
    return UpdatePlan(
        total_steps=total,
        steps_per_epoch=per_epoch,
        eval_steps=recipe.eval_steps or _eval_steps(total, per_epoch, step_tokens, evaluated_tokens),
        warmup_steps=recipe.warmup_steps or min(math.ceil(recipe.warmup_ratio * total), total - 1),
    )


def _eval_steps(total: int, per_epoch: int, step_tokens: float, evaluated_tokens: int) -> int:
    affordable = EVALUATIONS
    if evaluated_tokens:
        affordable = int(EVALUATION_SHARE * total * step_tokens / (evaluated_tokens * FORWARD_SHARE))
    least = max(FEWEST_EVALUATIONS, math.ceil(total / per_epoch) if per_epoch else 1)
    evaluations = max(min(EVALUATIONS, affordable), min(least, EVALUATIONS))
    return max(1, min(math.ceil(total / evaluations), per_epoch))
