"""The search of a recipe: validated, resumed, selected on validation rows, gated on test rows."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from slmcheck.errors import InputError, OfflineMissError, UnknownMetricError, UnknownRunError
from slmcheck.evaluation import Run
from slmcheck.evaluation.opening import open_run
from slmcheck.evaluation.searched import finished_search
from slmcheck.records import SearchRecord
from slmcheck.studies import BudgetSpentError, Training, Trainings, open_recipe, search
from slmcheck.workspace import Progress
from tests.studies.conftest import RECIPE, SEARCH, Project, write_rows


def outcome(record: SearchRecord) -> list[tuple[object, ...]]:
    """The trials as values: what each tried and what came of it."""
    return [(trial.number, dict(trial.values), trial.state, trial.value, trial.run_key) for trial in record.trials]


class GoneError(BaseException):
    """Ends a process like a signal does: nothing catches it."""


@dataclass
class Dying(Trainings):
    """Trainings of a process that ends in the middle of one of them."""

    dies_at: int = 1

    def run(self, item: Training, *, on_progress: Progress | None = None) -> Run:
        """Train, or be gone."""
        self.dies_at -= 1
        if self.dies_at == 0:
            raise GoneError
        return super().run(item, on_progress=on_progress)


def test_the_best_trial_is_chosen_and_every_trial_is_a_run(project: Project) -> None:
    found = search(project.recipe("search"), project.trainings())
    assert found.record.is_complete
    assert [trial.number for trial in found.record.trials] == list(range(1, 9))
    assert found.recipe.options["predictions"] == "wrong_6.jsonl"
    assert found.record.best is not None
    assert found.record.best.value == pytest.approx(1 - 6 / 120)
    stored = {record.key for record in project.workspace.store.runs()}
    assert {trial.run_key for trial in found.record.trials} <= stored
    files = list((project.workspace.store.root / "searches").glob("*.sqlite"))
    assert len(files) == 1
    with closing(sqlite3.connect(files[0])) as connection:
        assert connection.execute("select count(*) from trials").fetchone() == (8,)
    assert isinstance(found.record.best.values["num_train_epochs"], int)
    assert 1e-5 <= float(str(found.record.best.values["learning_rate"])) <= 1e-2


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_that_dies_ends_as_one_that_does_not(project: Project, tmp_path: Path, sampler: str) -> None:
    recipe = project.recipe("search")
    assert recipe.search is not None
    recipe = replace(recipe, search=replace(recipe.search, sampler=sampler))  # type: ignore[arg-type]
    whole = search(recipe, project.trainings()).record
    other = project.elsewhere(tmp_path / "other")
    for trials in (1, 3, 4):  # in trial 1, then 3, then 6: where TPE has begun to learn
        with pytest.raises(GoneError):
            search(recipe, Dying(workspace=other.workspace, dies_at=trials))
    resumed = search(recipe, other.trainings()).record
    assert outcome(resumed) == outcome(whole)
    assert resumed.best == whole.best


def test_more_trials_continue_a_search(project: Project) -> None:
    recipe = project.recipe("search")
    assert recipe.search is not None
    first = search(replace(recipe, search=replace(recipe.search, num_trials=2)), project.trainings()).record
    second = search(replace(recipe, search=replace(recipe.search, num_trials=3)), project.trainings()).record
    assert outcome(second)[:2] == outcome(first)
    assert project.told[-1].startswith("search of tone/search: at most 1 training")


def test_the_selected_recipe_is_gated_on_rows_that_the_search_never_saw(project: Project) -> None:
    # On the validation rows the worst file is the best one: a search that looked at the test rows would not take it.
    tones = [("angry", "glad", "sad")[i % 3] for i in range(120)]
    validation = [{"id": f"validation{i}", "prediction": tone, "reference": tone} for i, tone in enumerate(tones)]
    worst = [json.loads(line) for line in (project.suite / "wrong_60.jsonl").read_text().splitlines()]
    kept = [row for row in worst if not row["id"].startswith("validation")]
    write_rows(project.suite / "wrong_60.jsonl", [*kept, *validation])
    run = open_recipe(project.recipe("search"), project.trainings())
    assert run.recipe.options["predictions"] == "wrong_60.jsonl"
    assert run.accuracy.source.split == "test"
    assert float(run.accuracy) == pytest.approx(0.5)


def test_a_finished_search_is_read_without_optuna_or_work(project: Project) -> None:
    run = open_recipe(project.recipe("search"), project.trainings())
    offline = replace(project.workspace, offline=True)
    again = open_recipe(project.recipe("search"), Trainings(workspace=offline))
    assert again.key == run.key
    assert open_run(project.suite / "search.yaml", workspace=offline).key == run.key
    record = finished_search(run.recipe, run.splits, offline)
    assert record is not None
    assert record.best is not None
    assert record.best.run_key == run.key


def test_a_search_that_was_not_finished_is_no_run(project: Project) -> None:
    with pytest.raises(UnknownRunError, match="Finish it: slmcheck train"):
        open_run(project.suite / "search.yaml", workspace=project.workspace)


def test_offline_a_missing_search_says_so(project: Project) -> None:
    offline = replace(project.workspace, offline=True)
    with pytest.raises(OfflineMissError, match="no finished search of recipe 'tone/search'"):
        search(project.recipe("search"), Trainings(workspace=offline))


def test_trials_that_fail_are_recorded_and_the_others_go_on(project: Project) -> None:
    (project.suite / "search.yaml").write_text(RECIPE + SEARCH.replace("wrong_30.jsonl", "empty.jsonl"))
    (project.suite / "empty.jsonl").write_text("not json\n")
    record = search(project.recipe("search"), project.trainings()).record
    failed = [trial for trial in record.trials if trial.state == "failed"]
    assert failed
    assert all(trial.message for trial in failed)
    assert record.best is not None


def test_a_search_of_which_nothing_succeeds_says_why(project: Project) -> None:
    (project.suite / "search.yaml").write_text(
        RECIPE
        + "search:\n  num_trials: 2\n  metric: accuracy\n"
        + "  space: {options.predictions: {choices: [empty.jsonl, void.jsonl]}}\n"
    )
    for name in ("empty", "void"):
        (project.suite / f"{name}.jsonl").write_text("not json\n")
    with pytest.raises(InputError, match="chose nothing: none of its 2 trials was completed"):
        search(project.recipe("search"), project.trainings())


def test_an_unknown_metric_is_told_before_anything_is_tried(project: Project) -> None:
    recipe = project.recipe("search")
    assert recipe.search is not None
    with pytest.raises(UnknownMetricError, match="accuracy"):
        search(replace(recipe, search=replace(recipe.search, metric="acuracy")), project.trainings())
    assert not (project.workspace.store.root / "searches").exists()


def test_a_budget_that_is_spent_keeps_the_trials_so_far(project: Project) -> None:
    times = iter([0.0, *[0.0] * 3, *[61.0] * 100])
    trainings = project.trainings(budget_minutes=1.0, clock=lambda: next(times))
    found = search(project.recipe("search"), trainings)
    assert found.stopped.startswith("The budget of 1 minutes was spent")
    assert 0 < len(found.record.trials) < 8
    whole = search(project.recipe("search"), project.trainings()).record
    assert outcome(whole)[: len(found.record.trials)] == outcome(found.record)


def test_a_budget_that_is_spent_at_once_is_an_error(project: Project) -> None:
    times = iter([0.0, *[61.0] * 100])
    with pytest.raises(BudgetSpentError, match="Run the same command again"):
        search(project.recipe("search"), project.trainings(budget_minutes=1.0, clock=lambda: next(times)))


def test_a_search_travels_with_the_run_that_it_chose(project: Project, tmp_path: Path) -> None:
    run = open_recipe(project.recipe("search"), project.trainings())
    project.workspace.store.export_runs([run.key], tmp_path / "runs.tar")
    other = project.elsewhere(tmp_path / "other").workspace
    other.store.import_tar(tmp_path / "runs.tar")
    assert open_run(project.suite / "search.yaml", workspace=replace(other, offline=True)).key == run.key
