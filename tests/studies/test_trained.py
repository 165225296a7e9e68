"""Studies with real trainings on the embedded model: killed, out of budget, on nested rows."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slmcheck import recipes
from slmcheck.evaluation import open_recipe as opened
from slmcheck.evaluation.searched import finished_search
from slmcheck.records import Finding
from slmcheck.storage import Store
from slmcheck.studies import BudgetSpentError, Training, Trainings, learning_curve, search, try_remedy
from slmcheck.workspace import Workspace
from tests.mood import RECIPE, Trained, write_suite

pytestmark = pytest.mark.slow

SEARCH = RECIPE + (
    "search:\n  num_trials: 8\n  space:\n"
    "    learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\n    options.r: {choices: [2, 4]}\n"
)
COMMAND = "import sys; from slmcheck.cli import main; sys.exit(main(sys.argv[1:]))"


def workspace_in(folder: Path, store: Path | None = None) -> Workspace:
    return Workspace(root=folder, store=Store(store or folder / "store"))


def test_a_search_killed_at_random_moments_has_the_trials_of_one_that_was_not(tmp_path: Path) -> None:
    write_suite(tmp_path / "mood")
    (tmp_path / "mood" / "search.yaml").write_text(SEARCH)
    recipe = recipes.load(tmp_path / "mood" / "search.yaml")
    whole = search(recipe, Trainings(workspace=workspace_in(tmp_path))).record
    killed, draw = tmp_path / "killed", random.Random(1)
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "train", "mood/search.yaml"],
            cwd=tmp_path,
            env={**os.environ, "SLMCHECK_STORE": str(killed)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(draw.uniform(4, 25))
        process.send_signal(signal.SIGKILL)
        process.wait()
    other = workspace_in(tmp_path, killed)
    resumed = search(recipe, Trainings(workspace=other)).record
    assert resumed.trials == whole.trials
    assert finished_search(recipe, opened(search(recipe, Trainings(workspace=other)).recipe, other).splits, other)


def test_budgets_that_end_a_training_again_and_again_give_the_weights_of_one_without(tmp_path: Path) -> None:
    write_suite(tmp_path / "mood")
    recipe = recipes.patched(recipes.load(tmp_path / "mood" / "lora.yaml"), {"max_steps": 60, "eval_steps": 5})
    item, workspace = Training.of("a long one", recipe), workspace_in(tmp_path)
    minutes, ended, run = 0.02, 0, None
    while run is None:
        try:
            run = Trainings(workspace=workspace, budget_minutes=minutes).run(item)
        except BudgetSpentError:
            minutes, ended = 2 * minutes, ended + 1
    whole = Trainings(workspace=workspace_in(tmp_path, tmp_path / "other")).run(item)
    assert ended > 0
    assert run.checkpoint.key == whole.checkpoint.key
    assert run.record.recipe.timeout_minutes == recipe.timeout_minutes


def test_a_learning_curve_and_a_remedy_of_a_trained_run(trained: Trained) -> None:
    folder = trained.store.parent
    workspace = workspace_in(folder, trained.store)
    run = opened(folder / "mood" / "lora.yaml", workspace)
    told: list[str] = []
    curve = learning_curve(run, Trainings(workspace=workspace, tell=told.append))
    assert [point.rows for point in curve.points] == [16, 30, 60]
    assert told[0].startswith("learning curve of mood/lora: 2 trainings, about")
    learning_curve(run, Trainings(workspace=workspace, tell=told.append))
    assert told[1].startswith("learning curve of mood/lora: 0 trainings; 2 trainings in the store")
    finding = Finding(cause="still-learning", severity="problem", summary="", recipe_patch={"num_train_epochs": 3.0})
    tried = try_remedy(run, run.recipe, [finding], Trainings(workspace=workspace))
    assert tried.run.recipe.max_steps is None
    assert tried.run.record.last_step == 24
    assert tried.compared is not None
    assert tried.compared.scores[0].comparison.paired
