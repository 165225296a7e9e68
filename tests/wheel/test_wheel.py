"""The wheel alone, installed without any extra: a judge that needs no torch.

Run by `tox run -e wheel`, in an environment that holds nothing but the wheel and what it depends on.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
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
base_model: slmcheck/tiny
trainer: pretrained
task: classification
data:
  train: train.jsonl
  validation: train.jsonl
  test: test.jsonl
  text_template: "Text: {text}\\nMood: {mood}"
  answer: mood
  id: id
options: {predictions: ./answers.jsonl}
"""


def run(program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment, as its user would."""
    command = [str(Path(sys.executable).parent / program), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def moods(prefix: str, count: int) -> list[dict[str, str]]:
    return [
        {"id": f"{prefix}{number}", "text": f"{prefix} text {number}", "mood": "glad" if number % 2 else "sad"}
        for number in range(count)
    ]


def saved(rows: list[dict[str, str]], wrong: int) -> list[dict[str, str]]:
    return [
        {"id": row["id"], "prediction": "glad" if number < wrong else row["mood"], "reference": row["mood"]}
        for number, row in enumerate(rows)
    ]


def test_the_wheel_holds_the_package_the_plugins_the_model_and_the_suites() -> None:
    names = {str(path) for path in importlib.metadata.files("slmcheck") or ()}
    for wanted in (
        "slmcheck/py.typed",
        "slmcheck/models/tiny/model.safetensors",
        "slmcheck/models/tiny/tokenizer.json",
        "slmcheck/shipped_suites/release_gate/lora.yaml",
        "slmcheck/shipped_suites/phrase_tone/data/train.jsonl",
        "slmcheck/shipped_suites/faq_answers/baselines/lora.json",
        "slmcheck_full/__init__.py",
        "slmcheck_lora/__init__.py",
        "slmcheck_pretrained/__init__.py",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("tests/", "plugins/", "docs/")) or ".slmcheck" in name]


@pytest.mark.parametrize("library", ["torch", "transformers", "peft", "onnxruntime", "sklearn", "datasets"])
def test_no_model_library_came_with_it(library: str) -> None:
    assert importlib.util.find_spec(library) is None


def test_help_and_version(tmp_path: Path) -> None:
    assert run("slmcheck", "--help", folder=tmp_path).returncode == 0
    assert run("slmcheck", "--version", folder=tmp_path).stdout.strip().endswith(importlib.metadata.version("slmcheck"))


def test_two_files_of_predictions_are_compared(tmp_path: Path) -> None:
    rows = moods("test", 400)
    write_rows(tmp_path / "old.jsonl", saved(rows, 0))
    write_rows(tmp_path / "new.jsonl", saved(rows, 200))
    worse = run(
        "slmcheck", "compare", "old.jsonl", "new.jsonl", "--metric", "accuracy", "--margin", "0.01", "--json",
        folder=tmp_path,
    )  # fmt: skip
    assert worse.returncode == 1, worse.stderr
    assert '"fail"' in worse.stdout
    same = run(
        "slmcheck", "compare", "old.jsonl", "old.jsonl", "--metric", "accuracy", "--margin", "0.01", folder=tmp_path
    )
    assert same.returncode == 0, same.stderr


def test_a_suite_gates_saved_predictions_accepts_a_baseline_and_sees_a_regression(tmp_path: Path) -> None:
    rows = moods("test", 400)
    write_rows(tmp_path / "train.jsonl", moods("train", 40))
    write_rows(tmp_path / "test.jsonl", rows)
    write_rows(tmp_path / "answers.jsonl", saved(rows, 20))
    (tmp_path / "model.yaml").write_text(RECIPE)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    (tmp_path / "test_mood.py").write_text(
        "def test_level(run):\n    assert run.accuracy >= 0.9\n"
        "def test_no_drop(run, baseline):\n    assert run.f1 >= baseline.f1 - 0.02\n"
    )
    first = run("pytest", "--slm-accept-baseline", "--slm-report", "report", folder=tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert (tmp_path / "baselines" / "model.json").is_file()
    assert (tmp_path / "report" / "report.html").stat().st_size < 2_000_000
    again = run("pytest", "--slm-gate=dev", folder=tmp_path)
    assert again.returncode == 0, again.stdout
    write_rows(tmp_path / "answers.jsonl", saved(rows, 300))
    worse = run("pytest", folder=tmp_path)
    assert worse.returncode == 1
    assert "REGRESSION" in worse.stdout
