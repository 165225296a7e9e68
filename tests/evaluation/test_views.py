"""Reading a run by metric names: slices, few-shot prompts, seeds, findings; on the embedded base model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from slmcheck import recipes
from slmcheck.data import load_splits
from slmcheck.errors import UndefinedScoreError, UnknownMetricError
from slmcheck.evaluation import Run, View, open_recipe
from slmcheck.evaluation.views import Subject
from slmcheck.records import Recipe
from slmcheck.storage import Store
from slmcheck.workspace import Workspace
from tests.mood import Trained, write_suite


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    write_suite(tmp_path / "mood")
    return recipes.load(tmp_path / "mood" / "lora.yaml")


@pytest.fixture
def run(recipe: Recipe, trained: Trained, tmp_path: Path) -> Run:
    return open_recipe(recipe, Workspace(root=tmp_path, store=Store(trained.store), offline=True))


def view_of(recipe: Recipe, tmp_path: Path) -> View:
    """A view that is asked for its examples only."""
    subject = Subject(name="any", recipe=recipe, checkpoints=(), run_keys=())
    return View(subject, load_splits(recipe), Workspace(root=tmp_path, store=Store(tmp_path / "none")))


def test_an_attribute_is_the_metric_of_that_name(run: Run, trained: Trained) -> None:
    assert float(run.accuracy) == float(run.measure("accuracy")) == trained.accuracy


def test_an_unknown_metric_lists_the_known_ones(run: Run) -> None:
    with pytest.raises(UnknownMetricError, match=r"(?s)no metric 'acuracy'.*Did you mean 'accuracy'"):
        run.acuracy  # noqa: B018


def test_an_unknown_metric_is_no_attribute_to_python() -> None:
    assert issubclass(UnknownMetricError, AttributeError)


def test_an_unknown_slice_lists_the_known_ones(run: Run) -> None:
    with pytest.raises(UndefinedScoreError, match=r"(?s)no slice 'eraly'.*Did you mean 'early'"):
        run.slice("eraly")


def test_few_shot_prompts_show_training_rows_and_never_the_row_itself(recipe: Recipe, tmp_path: Path) -> None:
    plain = view_of(recipe, tmp_path).examples()
    asked = dataclasses.replace(recipe, evaluation=dataclasses.replace(recipe.evaluation, few_shot=2))
    shown = view_of(asked, tmp_path).examples()
    for before, after in zip(plain, shown, strict=True):
        assert after.id == before.id
        assert after.prompt.endswith(before.prompt)
        assert after.prompt.count("Mood:") == 3


def test_seeds_stand_behind_one_run_and_three_of_them_measure_their_spread(recipe: Recipe, tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path, store=Store(tmp_path / "store"))
    short = dataclasses.replace(recipe, max_steps=2)
    together = open_recipe(short, workspace, seeds=3)
    assert [one.recipe.seed for one in together.records] == [0, 0, 0]
    mean = together.accuracy
    singles = [float(one.accuracy) for one in together.seeds]
    assert float(mean) == pytest.approx(sum(singles) / 3)
    assert mean.source.seeds == 3
    first = open_recipe(short, workspace)
    assert first.accuracy.source.seed_sd == pytest.approx(mean.source.seed_sd)


def test_the_findings_before_a_training_are_kept(recipe: Recipe, tmp_path: Path) -> None:
    rows = Path(recipe.directory / "train.jsonl")
    rows.write_text(rows.read_text() + rows.read_text().splitlines()[0] + "\n")
    again = open_recipe(
        dataclasses.replace(recipe, max_steps=1), Workspace(root=tmp_path, store=Store(tmp_path / "store"))
    )
    assert "duplicate-rows" in {finding.cause for finding in again.findings}
