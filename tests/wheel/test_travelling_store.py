"""A store that was filled on a GPU machine, judged where only the wheel is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    os.environ.get("SLMCHECK_TEST_WHEEL") != "1", reason="needs the environment of the wheel: tox run -e wheel"
)

RECIPE = """\
base_model: someone/base@0123456789abcdef0123456789abcdef01234567
trainer: lora
task: classification
data:
  train: train.jsonl
  validation: validation.jsonl
  test: test.jsonl
  text_template: "Text: {text}\\nMood: {mood}"
  answer: mood
"""
TESTS = """
def test_level(run):
    assert run.accuracy >= 0.8


def test_no_drop(run, baseline):
    assert run.accuracy >= baseline.accuracy - 0.05


def test_fails(run):
    assert run.accuracy >= 0.99
"""
ROWS, WRONG = 200, 20


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite, and the store with its run and predictions as the other machine would have left them."""
    for name, count in (("train", 40), ("validation", 10), ("test", ROWS)):
        rows = [{"text": f"{name} {number}", "mood": ("glad", "sad")[number % 2]} for number in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "lora.yaml").write_text(RECIPE)
    (tmp_path / "test_mood.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    fill_store(tmp_path)
    return tmp_path


def fill_store(root: Path) -> None:
    """Publish a run made on cuda, and its answers: wrong for the first rows."""
    from slmcheck import inference, pipeline, recipes
    from slmcheck.data import load_splits, row_digest
    from slmcheck.records import Checkpoint, Environment, PredictedRow, RunRecord
    from slmcheck.workspace import Workspace

    workspace = Workspace.at(root)
    recipe = recipes.load(root / "lora.yaml")
    splits = load_splits(recipe)
    cuda = Environment(device="cuda", versions={"torch": "2.13.0+cu126"})
    key, inputs = pipeline.run_key(recipe, splits, workspace)
    folder = root / "sent"
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights that nobody reads here")
    checkpoint = Checkpoint(kind="adapter", path=folder / "adapter", key="c0" * 32, base_model=recipe.base_model)
    record = RunRecord(
        name=recipe.name, key=key, recipe=recipe, checkpoint=checkpoint, environment=cuda, directory=folder
    )
    workspace.store.publish_run(record, folder, inputs)
    asked = recipes.prediction_inputs(
        recipe, checkpoint_key=checkpoint.key, kind="options", inference_version=inference.CACHE_VERSION
    )
    rows = []
    for number, example in enumerate(splits.test):
        chosen = example.options[(example.options.index(example.references[0]) + (number < WRONG)) % 2]
        scores = tuple(-0.1 if option == chosen else -2.0 for option in example.options)
        rows.append(PredictedRow(row=row_digest(example, "options", recipe), text=chosen, option_scores=scores))
    workspace.store.predictions(recipes.prediction_key(asked), asked).add(rows, cuda)


def test_it_is_gated_reported_and_accepted(suite: Path) -> None:
    session = [sys.executable, "-m", "pytest", "--slm-offline"]
    accepting = [*session, "--slm-accept-baseline", "-k", "not fails"]
    first = subprocess.run(accepting, cwd=suite, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    assert json.loads((suite / "baselines" / "lora.json").read_text())["accepted"]["environment"]["device"] == "cuda"
    second = subprocess.run([*session, "--slm-report=written"], cwd=suite, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "1 failed, 2 passed" in second.stdout
    assert "trained on cuda, torch 2.13.0+cu126" in second.stdout
    report = json.loads((suite / "written" / "report.json").read_text())
    assert report["runs"][0]["made_elsewhere"] is True
    assert [verdict["value"] for verdict in report["verdicts"]] == [(ROWS - WRONG) / ROWS] * 3
    shown = subprocess.run(
        [Path(sys.executable).with_name("slmcheck"), "baseline", "show", "lora"],
        cwd=suite, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "cuda, torch 2.13.0+cu126" in shown.stdout
