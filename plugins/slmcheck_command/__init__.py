"""Any training program as a trainer, judged by the model that it leaves and never by its exit status alone.

    trainer: command
    options:
      command: python train.py --model {base_model} --data {train} --out {output_dir} --lr {learning_rate}
      files: [train.py]

The command runs in the recipe's folder, without a shell. A placeholder is a field of the recipe, an entry of
`options.values`, or one of base_model, train, validation, output_dir and device; a doubled brace is a brace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from slmcheck.records import Checkpoint, Json, Recipe
from slmcheck.training import TrainingJob, read_options, recipe_error

__all__ = ["CommandOptions", "CommandTrainer"]


@dataclass(frozen=True, kw_only=True)
class CommandOptions:
    """Options of `trainer: command`."""

    command: str = ""
    """The command line, with placeholders."""
    files: tuple[str, ...] = ()
    """Files and folders (`./data`) that decide the result, beside the recipe: they count by their content."""
    values: Mapping[str, Json] = field(default_factory=dict)
    """More placeholders: what the command calls its own settings."""
    checkpoint: str = "."
    """Where in `output_dir` the command leaves model or adapter; the newest `checkpoint-N` where it is not there."""
    resume: bool = False
    """Whether the command goes on by itself in the `output_dir` that an earlier attempt left; else that is emptied."""


class CommandTrainer:
    """Runs a command and takes over what it trained."""

    cache_version: ClassVar[int] = 1
    options: ClassVar[type] = CommandOptions
    trains: ClassVar[bool] = True

    def check(self, recipe: Recipe) -> None:
        """Look for problems of the recipe; raises RecipeError listing all of them."""
        from slmcheck_command.line import command_problems

        problems = command_problems(recipe, read_options(CommandOptions, recipe))
        if problems:
            raise recipe_error(recipe, problems)

    def train(self, job: TrainingJob) -> Checkpoint:
        """Run the command; its model is checked, copied without pickles, and becomes the checkpoint."""
        from slmcheck_command.running import run_command

        return run_command(job, read_options(CommandOptions, job.recipe))
