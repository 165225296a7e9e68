"""`slmcheck plan`: rows, visible drop, memory, time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def lora(project: Path) -> Path:
    """A recipe that trains, beside the others."""
    text = (project / "suites/tone/old.yaml").read_text().replace("trainer: pretrained", "trainer: lora")
    path = project / "suites/tone/lora.yaml"
    path.write_text(text.replace("options: {predictions: old.jsonl}\n", "num_train_epochs: 2\n"))
    return path


def test_a_recipe_is_planned_in_full(slmcheck: Callable[..., Any], lora: Path) -> None:
    ran = slmcheck("plan", "tone/lora")
    assert ran.status == 0
    assert "20 train, 4 validation, 60 test; scores are of test" in ran.out
    assert "6 updates, about" in ran.out
    assert "a guess from the speed of this processor" in ran.out
    assert "accuracy  60" in ran.out
    assert "these 60 rows can prove a margin of 10.3 points" in ran.out


def test_the_plan_as_a_document(slmcheck: Callable[..., Any], lora: Path) -> None:
    (found,) = slmcheck("plan", str(lora), "--margin", "0.2", "--json").document["recipes"]
    assert (found["steps"], found["stored"], found["evaluated"]) == (6, False, "test")
    assert 20 * 2 * 8 < found["tokens"] < 20 * 2 * 40
    assert 5e8 < found["memory_bytes"] < 3e9
    assert found["seconds"] > 0
    accuracy = found["checks"][0]
    assert (accuracy["metric"], accuracy["n"], accuracy["margin"]) == ("accuracy", 60, 0.2)
    assert accuracy["release_probability"] > 0.95


def test_a_model_that_exists_already_costs_nothing(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("plan", "tone/old")
    assert "none: the model exists already" in ran.out
    assert "memory" not in ran.out


def test_a_suite_is_a_table(slmcheck: Callable[..., Any], lora: Path) -> None:
    lines = slmcheck("plan", "suites").out.splitlines()
    assert [line.split()[0] for line in lines] == ["recipe", "tone/lora", "tone/new", "tone/old"]


def test_a_measured_change_replaces_the_assumed_one(slmcheck: Callable[..., Any], project: Path) -> None:
    slmcheck("evaluate", "old", "--metric", "accuracy")
    slmcheck("baseline", "accept", "old")
    predictions = project / "suites/tone/old.jsonl"
    predictions.write_text((project / "suites/tone/new.jsonl").read_text())
    slmcheck("evaluate", "old", "--metric", "accuracy")
    (found,) = slmcheck("plan", "old", "--json").document["recipes"]
    assert [(check["metric"], check["assumed"]) for check in found["checks"]] == [("accuracy", False)]


def test_a_folder_without_recipes_is_said(slmcheck: Callable[..., Any], project: Path) -> None:
    Path("empty").mkdir()
    ran = slmcheck("plan", "empty")
    assert (ran.status, ran.err.splitlines()[0]) == (2, "There is no recipe in 'empty'.")


def test_nothing_of_it_imports_torch(project: Path) -> None:
    import subprocess
    import sys

    code = "import sys\nfrom slmcheck.cli import main\nmain(['plan', 'suites'])\nprint('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "False"
