"""The search of a recipe: trial after trial in one SQLite file below the store, resumed wherever it was ended.

The sampler is made anew for each trial, seeded by the search and the trial's place in it: what a trial tries depends on
the results before it and on nothing else, so a search that was killed ends with the trials of one that was not. One
process searches at a time (a lock of the store); whatever trial is found running belonged to a process that is gone,
and is begun again with the same values. Optuna is imported only where a trial is still missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slmcheck import pipeline
from slmcheck.data import Splits, load_splits
from slmcheck.errors import (
    DataError,
    InputError,
    MissingExtraError,
    OfflineMissError,
    RecipeError,
    TrainingError,
    TrainingKilledError,
)
from slmcheck.evaluation import Run
from slmcheck.evaluation.planning import cost_of
from slmcheck.evaluation.searched import chosen, finished_search, keep_search, search_key, settled
from slmcheck.metrics import Metric, resolve
from slmcheck.recipes import patched
from slmcheck.recipes.searching import VALIDATION_LOSS
from slmcheck.records import HistoryPoint, Json, Recipe, RunRecord, SearchRange, SearchRecord, TrialRecord
from slmcheck.studies.trainings import BudgetSpentError, Estimate, Training, Trainings
from slmcheck.workspace import Progress, Workspace

if TYPE_CHECKING:
    import optuna

FOLDER = "searches"
STARTUP_TRIALS = 5
"""Trials at random before TPE has something to learn from, and complete ones before the median prunes."""
_OUT_OF_MEMORY = "memory ran out"
_PLACE, _FAILURE, _RUN_KEY = "place", "failure", "run_key"


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What came of a search."""

    recipe: Recipe
    """The recipe with the values of the best trial, its search still beside them."""
    record: SearchRecord
    stopped: str = ""
    """Why trials are missing: the budget; empty where none is."""


def search(recipe: Recipe, trainings: Trainings, *, on_trial: Callable[[TrialRecord], None] | None = None) -> Searched:
    """The best values of the searched fields of a recipe: from the store, or found now, trial by trial.

    Args:
        recipe: A recipe with a search.
        trainings: Carries out the trials; its budget ends the search with the best so far.
        on_trial: Called with each trial that ends.

    Raises:
        BudgetSpentError: If the budget ended it before a trial was complete.
        InputError: If nothing was found: every trial failed.
        OfflineMissError: If trials are missing and the session is offline.
        MissingExtraError: If trials are missing and Optuna is not installed.
        UnknownMetricError: If the task has no such metric.
    """
    spec, workspace = recipe.search, trainings.workspace
    assert spec is not None
    metric = None if spec.metric == VALIDATION_LOSS else resolve(spec.metric, recipe.task)
    splits = load_splits(recipe)
    stored = finished_search(recipe, splits, workspace)
    if stored is not None:
        return _searched(recipe, stored)
    if workspace.offline:
        raise OfflineMissError(
            f"The store has no finished search of recipe '{recipe.name}', and this session is offline.\n"
            f"Store {workspace.store.root}.\n"
            f"Search where training is allowed and bring the store here: slmcheck train {recipe.path or recipe.name}"
        )
    key = search_key(recipe, splits, workspace)
    with workspace.store.lock(f"search-{key}"):
        stored = finished_search(recipe, splits, workspace)
        if stored is not None:
            return _searched(recipe, stored)
        path = workspace.store.root / FOLDER / f"{key}.sqlite"
        return _Search(recipe, splits, metric, trainings, path).carry_out(on_trial)


def _estimate(recipe: Recipe, splits: Splits, trainings: Trainings, ended: int) -> Estimate:
    """What is missing of a search, from the cost of the recipe as it stands."""
    assert recipe.search is not None
    missing = recipe.search.num_trials - ended
    cost = cost_of(recipe, splits, trainings.workspace)
    seconds, basis = (None, "") if cost is None else (cost.seconds * missing, cost.basis)
    return Estimate(trainings=missing, stored=ended, seconds=seconds, basis=basis, at_most=True)


def _searched(recipe: Recipe, record: SearchRecord, stopped: str = "") -> Searched:
    best = chosen(recipe, record)
    if best is not None:
        return Searched(recipe=best, record=record, stopped=stopped)
    if stopped:
        raise BudgetSpentError(stopped)
    failed = next((trial for trial in record.trials if trial.state == "failed"), None)
    why = f"Trial {failed.number} with {_values(failed.values)}: {failed.message}" if failed is not None else ""
    raise InputError(
        f"The search of '{recipe.name}' chose nothing: none of its {len(record.trials)} trials was completed.\n"
        f"{why}\nChange search.space of the recipe."
    )


def _values(values: Mapping[str, Json]) -> str:
    shown = {name: f"{value:.3g}" if isinstance(value, float) else str(value) for name, value in values.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _trial_recipe(recipe: Recipe, values: Mapping[str, Json], place: int) -> Recipe:
    """The recipe of one trial: no search, one seed, a name that says which trial it is."""
    return replace(patched(recipe, values), search=None, seeds=1, name=f"{recipe.name}[trial {place + 1}]")


@dataclass
class _Search:
    """A search under way, its lock held."""

    recipe: Recipe
    splits: Splits
    metric: Metric | None
    """None looks at the validation loss."""
    trainings: Trainings
    path: Path

    def carry_out(self, on_trial: Callable[[TrialRecord], None] | None) -> Searched:
        spec = self.recipe.search
        assert spec is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        study, stopped = _study(self.path, self.recipe), ""
        _bury(study, spec.space)
        ended = len(_ended(study))
        if ended < spec.num_trials:
            found = _estimate(self.recipe, self.splits, self.trainings, ended)
            self.trainings.say(f"search of {self.recipe.name}: {found.sentence}", found)
        try:
            for place in range(ended, spec.num_trials):
                trial = self._trial(study, place)
                if on_trial is not None:
                    on_trial(trial)
        except BudgetSpentError as error:
            stopped = str(error)
        record = self._record(study)
        if record.is_complete:
            keep_search(self.recipe, self.splits, record, self.trainings.workspace)
        return _searched(self.recipe, record, stopped)

    def _trial(self, study: optuna.Study, place: int) -> TrialRecord:
        import optuna

        spec = self.recipe.search
        assert spec is not None
        study.sampler = _sampler(spec.sampler, spec.seed, place)
        trial = study.ask()
        trial.set_user_attr(_PLACE, place)
        values = {name: _suggest(trial, name, values) for name, values in spec.space.items()}
        item = Training(
            label=f"trial {place + 1} of {spec.num_trials}",
            recipe=_trial_recipe(self.recipe, values, place),
            splits=self.splits,
        )
        run_key, _ = pipeline.run_key(item.recipe, item.splits, self.trainings.workspace)
        trial.set_user_attr(_RUN_KEY, run_key)
        watch = _Watch(trial, self.trainings.workspace.on_progress, prunes=spec.pruning == "median")
        state, value = optuna.trial.TrialState.COMPLETE, None
        try:
            run = self.trainings.run(item, on_progress=watch)
            watch.replay(run.record)
            value = self._value(run)
        except _PrunedError:
            state = optuna.trial.TrialState.PRUNED
        except (TrainingError, RecipeError, DataError) as error:
            if isinstance(error, TrainingKilledError) and _OUT_OF_MEMORY not in str(error):
                raise  # somebody ended it, which says nothing of its values: the next call resumes it
            state = optuna.trial.TrialState.FAIL
            trial.set_user_attr(_FAILURE, str(error).splitlines()[0])
        study.tell(trial, value, state)
        return _trial_record(study.trials[trial.number])

    def _value(self, run: Run) -> float:
        if self.metric is None:
            losses = [point.validation_loss for point in run.history if point.validation_loss is not None]
            if not losses:
                raise InputError(
                    f"A trial of '{self.recipe.name}' has no validation loss in its history.\n"
                    "Search by a metric of the task instead: search: {metric: ...}"
                )
            kept = [point.validation_loss for point in run.history if point.step == run.record.best_step]
            return kept[0] if kept and kept[0] is not None else min(losses)
        # The search looks at the validation rows; the test rows are for the gates alone.
        recipe = replace(run.recipe, data=replace(run.recipe.data, evaluate_on="validation"))
        return float(Run([replace(run.record, recipe=recipe)], self.splits, run.workspace).measure(self.metric))

    def _record(self, study: optuna.Study) -> SearchRecord:
        spec = self.recipe.search
        assert spec is not None
        trials = _ended(study)[: spec.num_trials]
        return SearchRecord(
            metric=spec.metric,
            higher_is_better=_higher_is_better(self.recipe),
            sampler=spec.sampler,
            num_trials=spec.num_trials,
            trials=tuple(_trial_record(trial) for trial in trials),
        )


# Pruning


class _PrunedError(Exception):
    """A trial is behind the others; ends its training."""


class _Watch:
    """Reports the evaluations of a trial as they happen, and ends it when it falls behind.

    Evaluations are counted, not placed by update: trials with other batch sizes or epochs are compared at the same
    share of their training. Those before the first update are equal for all and are left out.
    """

    def __init__(self, trial: optuna.Trial, shown: Progress | None, *, prunes: bool) -> None:
        self._trial, self._shown, self._prunes = trial, shown, prunes
        self._seen: dict[int, int] = {}

    def __call__(self, recipe: Recipe, point: HistoryPoint) -> None:
        if self._shown is not None:
            self._shown(recipe, point)  # type: ignore[arg-type]  # a moment of a training is what the workspace shows
        self._report(point)

    def replay(self, record: RunRecord) -> None:
        """Report what a finished run has seen, so that a run from the store is judged as one that was trained."""
        for point in record.history:
            self._report(point)

    def _report(self, point: HistoryPoint) -> None:
        # A training that is resumed tells what it saw before once more.
        if point.validation_loss is None or point.step == 0 or point.step in self._seen:
            return
        self._seen[point.step] = len(self._seen)
        self._trial.report(point.validation_loss, self._seen[point.step])
        if self._prunes and self._trial.should_prune():
            raise _PrunedError


# Optuna


def _study(path: Path, recipe: Recipe) -> optuna.Study:
    """The study in a file, made where there is none."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError(
            f"The search of '{recipe.name}' needs Optuna, which is not installed.\n"
            "Install it: pip install slmcheck[search]"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        study_name="search",
        storage=f"sqlite:///{path}",
        direction="maximize" if _higher_is_better(recipe) else "minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
        load_if_exists=True,
    )


def _higher_is_better(recipe: Recipe) -> bool:
    assert recipe.search is not None
    if recipe.search.metric == VALIDATION_LOSS:
        return False
    return resolve(recipe.search.metric, recipe.task).info.higher_is_better


def _sampler(kind: str, seed: int, place: int) -> optuna.samplers.BaseSampler:
    """A sampler whose draws depend on the seed of the search and the place of the trial only."""
    import optuna

    drawn = int.from_bytes(hashlib.sha256(f"{seed} {place}".encode()).digest()[:4], "big")
    if kind == "random":
        return optuna.samplers.RandomSampler(seed=drawn)
    return optuna.samplers.TPESampler(seed=drawn, n_startup_trials=STARTUP_TRIALS)


def _suggest(trial: optuna.Trial, name: str, values: SearchRange) -> Json:
    if values.kind == "choice":
        assert values.choices is not None
        # Lists and mappings are no values to Optuna: it chooses among their JSON texts.
        texts = [json.dumps(choice, sort_keys=True) for choice in values.choices]
        return values.choices[texts.index(trial.suggest_categorical(name, texts))]
    low, high, step = values.low, values.high, values.step
    if values.kind == "int":
        assert isinstance(low, int)
        assert isinstance(high, int)
        return trial.suggest_int(name, low, high, step=step if isinstance(step, int) else 1, log=values.log)
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    width = float(step) if isinstance(step, int | float) else None
    return trial.suggest_float(name, float(low), float(high), step=width, log=values.log)


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that are over, one a place, in the order of their places; what a dead process left does not count."""
    import optuna

    states = optuna.trial.TrialState
    over = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in (states.COMPLETE, states.PRUNED)
        or (trial.state == states.FAIL and _FAILURE in trial.user_attrs)
    ]
    return sorted(over, key=lambda trial: int(trial.user_attrs[_PLACE]))


def _bury(study: optuna.Study, space: Mapping[str, SearchRange]) -> None:
    """End the trials of processes that are gone; whoever holds the lock of the search is alone."""
    import optuna

    states = optuna.trial.TrialState
    for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        study.tell(trial.number, state=states.FAIL)
        if len(trial.params) == len(space):  # half of them would leave the sampler at another draw
            study.enqueue_trial(trial.params)


def _trial_record(trial: optuna.trial.FrozenTrial) -> TrialRecord:
    import optuna

    states = optuna.trial.TrialState
    names = {states.COMPLETE: "complete", states.PRUNED: "pruned", states.FAIL: "failed"}
    value = trial.value
    if trial.state == states.PRUNED:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    return TrialRecord(
        number=int(trial.user_attrs[_PLACE]) + 1,
        values={name: json.loads(value) if isinstance(value, str) else value for name, value in trial.params.items()},
        state=names[trial.state],  # type: ignore[arg-type]
        value=value,
        run_key=str(trial.user_attrs[_RUN_KEY]),
        message=str(trial.user_attrs.get(_FAILURE, "")),
    )


# Runs of recipes with and without a search


def open_recipe(recipe: Recipe, trainings: Trainings, *, seeds: int | None = None) -> Run:
    """The run of a recipe: what its search chose, where it has one, with all its seeds; trained where it is missing.

    Raises:
        BudgetSpentError: If the budget ended it before everything was trained.
        RecipeError: If the recipe cannot be carried out.
        DataError: If rows cannot be used.
        TrainingError: If a training ended without a result.
    """
    if recipe.search is not None:
        found = search(recipe, trainings)
        if found.stopped:
            raise BudgetSpentError(found.stopped)
        recipe = settled(recipe, trainings.workspace)
    item = replace(Training.of(f"the run of {recipe.name}", recipe), seeds=seeds)
    if len(item.single_recipes) > 1 and not trainings.has(item):
        trainings.announce(f"{len(item.single_recipes)} seeds of {recipe.name}", [item])
    return trainings.run(item)


def search_of(run: Run, workspace: Workspace) -> SearchRecord | None:
    """The search that chose the values of a run; None where its recipe has none."""
    return finished_search(run.recipe, run.splits, workspace)
