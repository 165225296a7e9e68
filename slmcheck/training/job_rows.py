"""The examples of a job as token rows, and the empty record of what the model will make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slmcheck.data import Splits, train_subset
from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.errors import RecipeError
from slmcheck.records import Example
from slmcheck.training.protocol import TrainingJob
from slmcheck.training.rows import RowRecord, SplitRecord
from slmcheck.training.steps import UpdatePlan, plan_updates
from slmcheck.training.token_rows import TokenRow, tokenise


@dataclass(frozen=True, kw_only=True)
class JobRows:
    """Everything that a training reads."""

    train: list[TokenRow]
    validation: list[TokenRow]
    subset: list[TokenRow]
    """A fixed part of the training rows that every evaluation reads: those that the gap compares with."""
    record: RowRecord

    @property
    def evaluated(self) -> list[TokenRow]:
        """The rows of one evaluation."""
        return [*self.validation, *self.subset]


def rows_of(job: TrainingJob, tokenizer: TextTokenizer) -> JobRows:
    """The rows of a job.

    Raises:
        DataError: If rows cannot be used.
        RecipeError: If there are none, or none to stop early by.
    """
    subset = train_subset(Splits(train=job.train), len(job.validation))
    train, validation, chosen = (
        tokenise(examples, tokenizer, job.recipe) for examples in (job.train, job.validation, subset)
    )
    if not train:
        raise RecipeError(f"{job.recipe.name}: there are no training rows.\nName a file with rows in data.train.")
    if job.recipe.early_stopping_patience is not None and not validation:
        raise RecipeError(
            f"{job.recipe.name}: early stopping needs validation rows, and there are none.\n"
            "Set data.validation, or remove early_stopping_patience."
        )
    record = RowRecord(
        train=_empty(job.train, train), validation=_empty(job.validation, validation), subset=_empty(subset, chosen)
    )
    return JobRows(train=train, validation=validation, subset=chosen, record=record)


def updates_of(job: TrainingJob, rows: JobRows) -> UpdatePlan:
    """The updates of a job.

    Raises:
        RecipeError: If the warmup would take all of them.
    """
    plan = plan_updates(
        job.recipe,
        rows=len(rows.train),
        row_tokens=sum(len(row.ids) for row in rows.train),
        evaluated_tokens=sum(len(row.ids) for row in rows.evaluated),
    )
    if plan.warmup_steps and plan.warmup_steps >= plan.total_steps:
        raise RecipeError(
            f"{job.recipe.name}: warmup_steps is {plan.warmup_steps}, and there are {plan.total_steps} updates.\n"
            "The learning rate would never be reached.\nUse warmup_ratio: 0.1, or train longer."
        )
    return plan


def _empty(examples: Sequence[Example], rows: Sequence[TokenRow]) -> SplitRecord:
    tokens = [0] * len(examples)
    for row in rows:
        tokens[row.example] += row.learned
    return SplitRecord([example.id for example in examples], tokens)
