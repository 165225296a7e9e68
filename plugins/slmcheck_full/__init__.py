"""Full fine-tuning: every weight of the base model is trained."""

from __future__ import annotations

from typing import ClassVar

from slmcheck.records import Checkpoint, Recipe
from slmcheck.training import NoOptions, TrainingJob, loop_problems, read_options, recipe_error

__all__ = ["FullTrainer"]


class FullTrainer:
    """Trains all weights on the shared loop."""

    cache_version: ClassVar[int] = 1
    options: ClassVar[type] = NoOptions
    trains: ClassVar[bool] = True

    def check(self, recipe: Recipe) -> None:
        """Look for problems of the recipe; raises RecipeError listing all of them."""
        read_options(NoOptions, recipe)
        problems = loop_problems(recipe)
        if problems:
            raise recipe_error(recipe, problems)

    def train(self, job: TrainingJob) -> Checkpoint:
        """Train the model; it is written to `model/` with the tokenizer of the base model."""
        from slmcheck_full.model import train_model

        return train_model(job)
