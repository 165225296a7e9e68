"""A recipe is trained once, however many tests and workers ask for its run."""

from __future__ import annotations

import pytest

from tests.acceptance.project import Project, verified
from tests.mood import RECIPE, write_suite, write_tests

TRAINED = """
import pytest


@pytest.mark.parametrize("number", range(7))
def test_history(run, number):
    assert run.history[-1].step == 2
"""
JUDGED = (
    TRAINED
    + """

def test_level(run):
    assert run.accuracy >= 0.0


def test_gap(run):
    assert run.gap("accuracy") <= 0.9
"""
)


@pytest.fixture
def three_recipes(project: Project) -> Project:
    """Three recipes of other seeds, 21 tests, an empty store."""
    write_suite(project.root / "mood")
    write_tests(project.root, TRAINED)
    short = RECIPE.replace("max_steps: 8", "max_steps: 2")
    for name, seed in (("lora", 0), ("lora_1", 1), ("lora_2", 2)):
        (project.root / "mood" / f"{name}.yaml").write_text(f"{short}seed: {seed}\n")
    return project


def test_four_workers_and_three_recipes_are_three_trainings(three_recipes: Project) -> None:
    ran = three_recipes.pytest("-n", "4", "mood")
    assert ran.status == 0, ran.text
    assert "21 passed" in ran.out
    assert three_recipes.trainings == 3
    assert sorted(run.name for run in three_recipes.runs()) == ["mood/lora", "mood/lora_1", "mood/lora_2"]
    assert verified(three_recipes)


@pytest.mark.slow
@pytest.mark.parametrize("distribution", ["load", "worksteal", "loadfile"])
def test_every_claim_is_judged_however_tests_are_distributed(three_recipes: Project, distribution: str) -> None:
    write_tests(three_recipes.root, JUDGED)
    ran = three_recipes.pytest("-n", "4", "--dist", distribution, "mood")
    assert ran.status == 0, ran.text
    assert three_recipes.trainings == 3
    report = three_recipes.report()
    assert report["tests"] == {"passed": 27}
    assert len(report["verdicts"]) == 6
    assert [run["name"] for run in report["runs"]] == ["mood/lora", "mood/lora_1", "mood/lora_2"]
