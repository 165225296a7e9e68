"""One model and one data file give one number: the library, the command line and the fixture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import slmcheck
from slmcheck.evaluation import open_recipe
from slmcheck.workspace import Workspace
from tests.acceptance.project import Project
from tests.mood import write_tests

METRICS = ("accuracy", "f1", "brier")
TESTS = "".join(f"def test_{name}(run):\n    assert run.{name} >= 0.0\n\n\n" for name in ("accuracy", "f1"))
TESTS += "def test_brier(run):\n    assert run.brier <= 2.0\n"


def of_the_library(root: Path, model: str | Path, recipe: str | None = None, **keywords: str) -> dict[str, float]:
    """Each metric by `slmcheck.evaluate`."""
    data = root / "mood" / "test.jsonl"
    return {name: float(slmcheck.evaluate(model, data, name, recipe=recipe, **keywords)) for name in METRICS}  # type: ignore[arg-type]


def of_the_command(project: Project, *arguments: str) -> dict[str, float]:
    """Each metric by `slmcheck evaluate`."""
    ran = project.slmcheck("evaluate", *arguments, "--metric", ",".join(METRICS), "--json")
    assert ran.status == 0, ran.err
    return {score["metric"]: score["value"] for score in ran.document["scores"]}


def of_the_fixture(project: Project) -> dict[str, float]:
    """Each metric by the fixture `run`, from the session's report."""
    write_tests(project.root, TESTS)
    ran = project.pytest("mood")
    assert ran.status == 0, ran.text
    return {verdict["metric"]: verdict["value"] for verdict in project.report()["verdicts"]}


@pytest.fixture
def here(mood: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project as the current folder of this process too."""
    monkeypatch.chdir(mood.root)
    monkeypatch.delenv("SLMCHECK_STORE", raising=False)
    return mood


def test_a_run_its_recipe_and_its_adapter_folder_have_one_number_everywhere(here: Project) -> None:
    expected = of_the_fixture(here)
    assert of_the_library(here.root, here.root / "mood" / "lora.yaml") == expected
    assert of_the_library(here.root, "mood/lora") == expected
    assert of_the_command(here, "mood/lora", "--data", "mood/test.jsonl") == expected
    adapter = str(here.runs()[0].checkpoint.path)
    assert of_the_library(here.root, adapter, recipe="mood/lora.yaml") == expected


def test_a_bare_model_has_one_number_everywhere(here: Project) -> None:
    template = ("--task", "classification", "--text-template", "Text: {text}\nMood: {mood}", "--answer", "mood")
    by_command = of_the_command(here, "slmcheck/tiny", "--data", "mood/test.jsonl", *template)
    by_library = of_the_library(
        here.root, "slmcheck/tiny", task="classification", text_template="Text: {text}\nMood: {mood}", answer="mood"
    )
    base = open_recipe(here.root / "mood" / "lora.yaml", Workspace.at(here.root)).base
    assert by_command == by_library == {name: float(base.measure(name)) for name in METRICS}


@pytest.mark.real
@pytest.mark.parametrize("text", ["Once upon a time", "Lily and Tom"])
def test_a_real_model_has_one_likelihood_everywhere(here: Project, real_data: Path, text: str) -> None:
    model = str(real_data / "models" / "stories260k")
    rows = here.root / "stories.jsonl"
    endings = (" there was a little girl.", " they saw a big dog.", " the sun was hot.")
    rows.write_text("".join(json.dumps({"prompt": text, "reference": ending}) + "\n" for ending in endings))
    ran = here.slmcheck("evaluate", model, "--data", "stories.jsonl", "--metric", "perplexity", "--json")
    assert ran.status == 0, ran.err
    workspace = replace(Workspace.at(here.root), offline=True)
    found = slmcheck.evaluate(model, rows, "perplexity", workspace=workspace)
    assert [score["value"] for score in ran.document["scores"]] == [float(found)]
    assert float(found) > 1.0
