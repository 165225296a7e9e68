"""A recipe is trained once, however many tests and workers ask for its run."""

from __future__ import annotations

import pytest

from tests.acceptance.project import Project, verified
from tests.mood import RECIPE, write_suite, write_tests

TESTS = """
import pytest


@pytest.mark.parametrize("level", [0.0, 0.01, 0.02, 0.03, 0.04, 0.05])
def test_level(run, level):
    assert run.accuracy >= level


def test_history(run):
    assert run.history[-1].step == 2
"""


@pytest.fixture
def three_recipes(project: Project) -> Project:
    """Three recipes of other seeds, 21 tests, an empty store."""
    write_suite(project.root / "mood")
    write_tests(project.root, TESTS)
    short = RECIPE.replace("max_steps: 8", "max_steps: 2")
    for name, seed in (("lora", 0), ("lora_1", 1), ("lora_2", 2)):
        (project.root / "mood" / f"{name}.yaml").write_text(f"{short}seed: {seed}\n")
    return project


def test_four_workers_and_three_recipes_are_three_trainings(three_recipes: Project) -> None:
    ran = three_recipes.pytest("-n", "4", "mood")
    assert ran.status == 0, ran.text
    assert three_recipes.trainings == 3
    assert sorted(run.name for run in three_recipes.runs()) == ["mood/lora", "mood/lora_1", "mood/lora_2"]
    report = three_recipes.report()
    assert report["tests"] == {"passed": 21}
    assert len(report["verdicts"]) == 18
    assert verified(three_recipes)


@pytest.mark.slow
def test_workers_that_do_not_group_by_recipe_train_each_once_all_the_same(three_recipes: Project) -> None:
    ran = three_recipes.pytest("-n", "4", "--dist", "worksteal", "mood")
    assert ran.status == 0, ran.text
    assert three_recipes.trainings == 3
    assert three_recipes.report()["tests"] == {"passed": 21}
