"""Models trained elsewhere, gated like any other run: nothing is trained, the model is referred to by its content.

`options: {model: ./folder}` takes a model folder or hub id, `options: {adapter: ./folder}` a PEFT adapter on the
recipe's base model (or on `model` where both are given), `options: {predictions: answers.jsonl}` a file of saved
predictions and no model at all. Weights are read as safetensors only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from slmcheck.records import Checkpoint, Recipe
from slmcheck.training import TrainingJob, read_options, recipe_error

__all__ = ["PretrainedOptions", "PretrainedTrainer"]


@dataclass(frozen=True, kw_only=True)
class PretrainedOptions:
    """Options of `trainer: pretrained`; paths start at the recipe's folder."""

    model: str | None = None
    """The trained model: a folder (`./`, `../`, `/`) or a hub id, `@revision` allowed."""
    adapter: str | None = None
    """A PEFT adapter, folder or hub id; its base model is `model`, else the recipe's `base_model`."""
    predictions: str | None = None
    """A JSONL file of saved predictions."""


class PretrainedTrainer:
    """Adopts a model that exists already."""

    cache_version: ClassVar[int] = 1
    options: ClassVar[type] = PretrainedOptions
    trains: ClassVar[bool] = False

    def check(self, recipe: Recipe) -> None:
        """Look for problems of the recipe; raises RecipeError listing all of them."""
        from slmcheck_pretrained.adoption import source_problems

        problems = source_problems(recipe, read_options(PretrainedOptions, recipe))
        if problems:
            raise recipe_error(recipe, problems)

    def train(self, job: TrainingJob) -> Checkpoint:
        """Find the model, check that its weights are whole, and take over what its training left beside it."""
        from slmcheck_pretrained.adoption import adopt

        return adopt(job, read_options(PretrainedOptions, job.recipe))
