"""Several trainings as one piece of work: announced first, each a run in the store, stopped by a budget.

What the store has costs nothing. What the budget ends half-way stays in the store as unfinished work, and the next call
goes on from there; so does a call after kill -9.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from slmcheck import pipeline, training
from slmcheck.data import Splits, load_splits
from slmcheck.errors import InputError, SlmcheckError, TrainingTimeoutError
from slmcheck.evaluation import Run
from slmcheck.evaluation.planning import cost_of
from slmcheck.records import Recipe, RunRecord
from slmcheck.workspace import Progress, Workspace

LEAST_MINUTES = 0.001


class BudgetSpentError(SlmcheckError):
    """The time of a study is over; what it knows by then is its result."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One thing to train for a study."""

    label: str
    """What it is for, in words."""
    recipe: Recipe
    splits: Splits
    """Its rows; they need not be those that the recipe reads."""
    seeds: int | None = None
    """How many seeds stand behind the run; None takes the recipe's number."""

    @classmethod
    def of(cls, label: str, recipe: Recipe) -> Training:
        """A recipe on its own rows.

        Raises:
            DataError: If rows cannot be used.
        """
        return cls(label=label, recipe=recipe, splits=load_splits(recipe))

    @property
    def single_recipes(self) -> tuple[Recipe, ...]:
        """One recipe a seed."""
        recipe = self.recipe
        return tuple(replace(recipe, seed=recipe.seed + index, seeds=1) for index in range(self.seeds or recipe.seeds))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a study would train."""

    trainings: int
    """Trainings that the store does not have; each seed is one."""
    stored: int
    """Trainings that the store has."""
    seconds: float | None
    """None where nothing is known of this machine's pace."""
    basis: str = ""
    """Where the seconds come from."""
    at_most: bool = False
    """Whether some of them may be ended early, or turn out not to be needed."""

    @property
    def sentence(self) -> str:
        """The estimate in one line."""
        known = f"; {_counted(self.stored)} in the store already" if self.stored else ""
        if not self.trainings:
            return f"0 trainings{known}"
        time_text = "time not known" if self.seconds is None else f"about {_minutes(self.seconds)} ({self.basis})"
        return f"{'at most ' if self.at_most else ''}{_counted(self.trainings)}, {time_text}{known}"


def silent(text: str) -> None:
    """Tell nobody."""


@dataclass
class Trainings:
    """Carries out the trainings of one study, within a budget."""

    workspace: Workspace
    budget_minutes: float | None = None
    """Wall time for all of them; None sets no limit."""
    tell: Callable[[str], None] = silent
    """Called with each sentence that a person should read before the work starts."""
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    """Trainings carried out so far; those found in the store do not count."""

    def __post_init__(self) -> None:
        if self.budget_minutes is not None and not 0.0 < self.budget_minutes < float("inf"):
            raise InputError(f"The budget is {self.budget_minutes:g} minutes; expected a number above 0.")
        self._started = self.clock()

    def estimate(self, planned: Sequence[Training], *, at_most: bool = False) -> Estimate:
        """How many trainings some work needs, and how long they take; the same one is counted once.

        Raises:
            RecipeError: If a base model cannot be found.
        """
        missing: dict[str, Training] = {}
        stored = set[str]()
        for item in planned:
            for recipe in item.single_recipes:
                key, _ = pipeline.run_key(recipe, item.splits, self.workspace)
                if self._has(key, recipe):
                    stored.add(key)
                else:
                    missing.setdefault(key, replace(item, recipe=recipe))
        trains = [item for item in missing.values() if training.find_trainer(item.recipe.trainer).trains]
        costs = [cost_of(item.recipe, item.splits, self.workspace) for item in trains]
        known = [cost for cost in costs if cost is not None]
        whole = len(known) == len(costs) and bool(known)
        return Estimate(
            trainings=len(trains),
            stored=len(stored),
            seconds=sum(cost.seconds for cost in known) if whole else None,
            basis=known[0].basis if whole else "",
            at_most=at_most,
        )

    def announce(self, what: str, planned: Sequence[Training], *, at_most: bool = False) -> Estimate:
        """Say what a study will train, before it does."""
        found = self.estimate(planned, at_most=at_most)
        self.say(f"{what}: {found.sentence}", found)
        return found

    def say(self, text: str, estimate: Estimate) -> None:
        """Say a sentence on what will be trained, and the budget where it is set."""
        limit = f"; stops after {self.budget_minutes:g} min" if self.budget_minutes and estimate.trainings else ""
        self.tell(f"{text}{limit}")

    def has(self, item: Training) -> bool:
        """Whether the store has every run of a training."""
        return all(
            self._has(pipeline.run_key(recipe, item.splits, self.workspace)[0], recipe)
            for recipe in item.single_recipes
        )

    def run(self, item: Training, *, on_progress: Progress | None = None) -> Run:
        """The run of a training: from the store, or trained now.

        Args:
            item: What to train.
            on_progress: Called with each moment of the training; None shows it as the workspace says.

        Raises:
            BudgetSpentError: If the time is over; an unfinished training stays and is resumed by the next call.
            TrainingError: If a training ended without a result.
        """
        workspace = replace(self.workspace, on_progress=on_progress or self.workspace.on_progress)
        records = [self._finetuned(recipe, item, workspace) for recipe in item.single_recipes]
        return Run([replace(record, recipe=item.recipe) for record in records], item.splits, self.workspace)

    def _finetuned(self, recipe: Recipe, item: Training, workspace: Workspace) -> RunRecord:
        key, _ = pipeline.run_key(recipe, item.splits, workspace)
        if self._has(key, recipe):
            return pipeline.finetune(recipe, item.splits, workspace)
        left = self.minutes_left()
        if left is None or left >= recipe.timeout_minutes:
            record = pipeline.finetune(recipe, item.splits, workspace)
        elif left <= LEAST_MINUTES:
            raise BudgetSpentError(self._spent(item))
        else:
            try:
                # The limit of time belongs to no key, so this is the training that it would be without a budget.
                record = pipeline.finetune(replace(recipe, timeout_minutes=left), item.splits, workspace)
            except TrainingTimeoutError as error:
                raise BudgetSpentError(self._spent(item)) from error
        self.done += 1
        return replace(record, recipe=recipe)

    def minutes_left(self) -> float | None:
        """What is left of the budget; None without one."""
        if self.budget_minutes is None:
            return None
        return self.budget_minutes - (self.clock() - self._started) / 60.0

    def _has(self, key: str, recipe: Recipe) -> bool:
        workspace = self.workspace
        if workspace.retrain and key not in workspace.retrained:
            return False
        environment = training.training_environment(recipe, workspace.device)
        found = workspace.store.find_run(key, environment, same_environment=workspace.same_environment)
        return found is not None

    def _spent(self, item: Training) -> str:
        return (
            f"The budget of {self.budget_minutes:g} minutes was spent before this was trained: {item.label}.\n"
            "Run the same command again to go on: what is finished is in the store, what was begun is resumed."
        )


def _counted(number: int) -> str:
    return "1 training" if number == 1 else f"{number:,} trainings"


def _minutes(seconds: float) -> str:
    minutes = seconds / 60.0
    return f"{minutes:.1f} min" if minutes < 10 else f"{minutes:.0f} min"
