"""A run trained on a GPU is gated, reported and accepted without a GPU, model library, network or base model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from slmcheck import pipeline, recipes
from slmcheck.data import load_splits
from slmcheck.records import Environment, PredictedRow, Recipe
from slmcheck.storage import Store
from slmcheck.workspace import Workspace
from tests.acceptance.project import Project
from tests.mood import RECIPE, Trained, write_suite, write_tests

CUDA = Environment(
    device="cuda", dtype="float32", threads=1, versions={"torch": "2.13.0+cu126", "transformers": "5.5.0"}
)
NOT_HERE = "someone/mood-base@0123456789abcdef0123456789abcdef01234567"
"""A base model of a hub, pinned to a commit, whose files this machine does not have."""
TESTS = """
def test_level(run):
    assert run.accuracy >= 0.05


def test_no_worse(run, baseline):
    assert run.accuracy >= baseline.accuracy - 0.05


def test_gap(run):
    assert run.gap("accuracy") <= 0.9


def test_slice(run):
    assert run.slice("early").accuracy >= 0.0


def test_fails(run):
    assert run.accuracy >= 1.01
"""
ACCEPTED = TESTS.partition("\n\ndef test_fails")[0]


def send(trained: Trained, project: Project) -> Recipe:
    """Put the run of all tests into the store of a project as another machine would have made it.

    Same weights, but on a base model that is named by repository and commit; no score was measured there.
    """
    own = next(iter(Store(trained.store).runs()))
    recipe = recipes.load(project.root / "mood" / "lora.yaml")
    workspace = Workspace(root=project.root, store=project.store)
    key, inputs = pipeline.run_key(recipe, load_splits(recipe), workspace)
    folder = project.root / "sent"
    shutil.copytree(own.directory, folder)
    (folder / "manifest.json").unlink()
    checkpoint = replace(own.checkpoint, path=folder / own.checkpoint.path.relative_to(own.directory))
    record = replace(own, key=key, recipe=replace(recipe, path=None), environment=CUDA, checkpoint=checkpoint)
    project.store.publish_run(record, folder, inputs)
    for rows, name, asked in predictions_of(trained):
        project.store.predictions(name, asked).add(rows, CUDA)
    return recipe


def predictions_of(trained: Trained) -> list[tuple[list[PredictedRow], str, object]]:
    """The rows, key and inputs of every set of predictions in the store of all tests."""
    folders = sorted(path.parent for path in trained.store.glob("predictions/*/*/inputs.json"))
    store = Store(trained.store)
    return [
        (
            list(store.predictions(path.name).read().values()),
            path.name,
            json.loads((path / "inputs.json").read_text())["inputs"],
        )
        for path in folders
    ]


@pytest.fixture
def sent(project: Project, trained: Trained) -> Project:
    """A gate job: the suite, the store that came from the GPU machine, and nothing else."""
    write_suite(project.root / "mood")
    (project.root / "mood" / "lora.yaml").write_text(RECIPE.replace("slmcheck/tiny", NOT_HERE))
    write_tests(project.root, ACCEPTED)
    send(trained, project)
    return project.without_model_libraries


def test_it_is_gated_accepted_and_reported_and_the_report_says_where_it_was_trained(
    sent: Project, trained: Trained
) -> None:
    accepted = sent.pytest("--slm-offline", "--slm-accept-baseline", "mood")
    assert accepted.status == 0, accepted.text
    header = json.loads((sent.root / "mood" / "baselines" / "lora.json").read_text())
    assert header["accepted"]["environment"]["device"] == "cuda"
    write_tests(sent.root, TESTS)
    ran = sent.pytest("--slm-offline", "--slm-report=written", "mood")
    assert ran.status == 1
    assert "1 failed, 3 passed, 1 inconclusive" in ran.out
    assert "trained on cuda, torch 2.13.0+cu126" in ran.out
    report = json.loads((sent.root / "written" / "report.json").read_text())
    assert report["runs"][0]["made_elsewhere"] is True
    assert report["runs"][0]["environment"]["device"] == "cuda"
    assert all(any("trained on cuda" in note for note in verdict["notes"]) for verdict in report["verdicts"])
    assert [verdict["value"] for verdict in report["verdicts"] if verdict["claim"] == "lora.accuracy >= 0.05"] == [
        trained.accuracy
    ]
    for name in ("report.html", "report.md"):
        assert "cuda" in (sent.root / "written" / name).read_text()
    assert sent.trainings == 0


def test_the_command_accepts_what_was_measured(sent: Project) -> None:
    write_tests(sent.root, "def test_level(run):\n    assert run.accuracy >= 0.05\n")
    assert sent.pytest("--slm-offline", "mood").status == 0
    ran = sent.slmcheck("baseline", "accept", "mood/lora")
    assert ran.status == 0, ran.text
    assert Path(sent.root / "mood" / "baselines" / "lora.json").is_file()
    shown = sent.slmcheck("baseline", "show", "mood/lora")
    assert "cuda, torch 2.13.0+cu126" in shown.out
    compared = sent.slmcheck("compare", "baseline", "mood/lora", "--metric", "accuracy", "--margin", "0.01", "--json")
    assert compared.status == 0, compared.text
    assert compared.document["holds"] is True


def test_the_drill_for_an_upgrade_makes_it_a_miss(sent: Project) -> None:
    ran = sent.pytest("--slm-offline", "--slm-environment=same", "mood")
    assert ran.status == 1
    assert "The store has no run of recipe 'mood/lora', and this session is offline." in ran.out
