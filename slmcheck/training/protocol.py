"""What a trainer plugin is, and what it is given to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from slmcheck.records import Checkpoint, DeviceClass, Example, HistoryPoint, Recipe

CACHE_VERSION = 1
"""Version of the shared loop: raised when the same recipe would give other weights."""

CHECKPOINTS = "checkpoints"
"""Name of the folder of an unfinished training."""


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """One fine-tuning run to be carried out."""

    recipe: Recipe
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    base_model: str
    """Folder of the base model, or its hub id with `@revision`."""
    output_dir: Path
    """Where the result is written: `adapter/` or `model/`, and beside it the history and the record of rows."""
    device: DeviceClass
    log_step: Callable[[HistoryPoint], None]
    """Called after each logged update and each evaluation; an exception from it ends the training."""
    prepared_base: Path | None = None
    """The form of the base model that the trainer prepared before, where it prepares one (`BasePreparer`)."""

    @property
    def checkpoints_dir(self) -> Path:
        """Where unfinished training is kept so that it can be resumed."""
        return self.output_dir.parent / CHECKPOINTS


class Trainer(Protocol):
    """A way to carry out a recipe, found by name through the entry points `slmcheck.trainers`.

    The module of a trainer imports the standard library and slmcheck only; `train` imports what it needs. Trainers are
    made without arguments and keep no state.
    """

    cache_version: ClassVar[int]
    """Raised when the same recipe would give other weights."""
    options: ClassVar[type]
    """Dataclass of the recipe's `options`."""
    trains: ClassVar[bool]
    """Whether there is work for a process of its own; False where the model exists already."""

    def check(self, recipe: Recipe) -> None:
        """Look for problems without a model library.

        Raises:
            RecipeError: If the recipe cannot be carried out; lists every problem.
        """
        ...

    def train(self, job: TrainingJob) -> Checkpoint:
        """Carry out the recipe, or resume where an earlier attempt was killed.

        Raises:
            InputError: If recipe, data or base model cannot be used.
            TrainingError: If training ended without a result.
        """
        ...
