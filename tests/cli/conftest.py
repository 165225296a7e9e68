"""A project whose runs are files of saved predictions: everything but training and prediction, in milliseconds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from slmcheck.cli import main

TONES = ("angry", "glad", "sad")
RECIPE = """\
base_model: slmcheck/tiny
trainer: pretrained
task: classification
data:
  train: data/train.jsonl
  test: data/test.jsonl
  text_template: "Phrase: {phrase}\\nTone: {tone}"
  answer: tone
  id: id
  slices:
    short: {field: phrase, max_words: 3}
options: {predictions: PREDICTIONS}
"""
SUITE = """\
def test_accuracy(run):
    assert run.accuracy >= 0.5


def test_accuracy_did_not_drop(run, baseline):
    assert run.accuracy >= baseline.accuracy - 0.05
"""
ROWS = 60


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    """Write rows as JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(prefix: str, count: int) -> list[dict[str, object]]:
    """Rows with three tones in turn."""
    return [
        {
            "id": f"{prefix}{index}",
            "phrase": f"phrase {prefix} {index}" + " again" * (index % 3),
            "tone": TONES[index % 3],
        }
        for index in range(count)
    ]


def answers(wrong: Sequence[int]) -> list[dict[str, object]]:
    """Saved predictions of the test rows, wrong at the given places."""
    return [
        {
            "id": f"test{index}",
            "prediction": TONES[(index + 1) % 3] if index in wrong else TONES[index % 3],
            "reference": TONES[index % 3],
        }
        for index in range(ROWS)
    ]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runs tone/old (6 of 60 wrong) and tone/new (18 wrong) in the current folder; nothing is in the store yet."""
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLMCHECK_STORE", raising=False)
    return tmp_path


def write_project(root: Path) -> None:
    """The files of the project."""
    suite = root / "suites" / "tone"
    write_rows(suite / "data" / "train.jsonl", rows_of("train", 24))
    write_rows(suite / "data" / "test.jsonl", rows_of("test", ROWS))
    for name, wrong in (("old", range(6)), ("new", range(18))):
        write_rows(suite / f"{name}.jsonl", answers(wrong))
        (suite / f"{name}.yaml").write_text(RECIPE.replace("PREDICTIONS", f"{name}.jsonl"))
    (suite / "test_tone.py").write_text(SUITE)
    (root / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider --import-mode=importlib\n")


@dataclass(frozen=True)
class Ran:
    """What a command line left."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, object]:
        """The one JSON object of `--json`."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def slmcheck(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command line in this process: `slmcheck("plan", "suites")`."""

    def run(*arguments: str) -> Ran:
        # Sessions of one process share its modules, and every suite here has a module of the same name.
        for name in [name for name in sys.modules if name.split(".")[0] in ("suites", "test_tone")]:
            del sys.modules[name]
        capsys.readouterr()
        status = main(list(arguments))
        printed = capsys.readouterr()
        return Ran(status, printed.out, printed.err)

    return run
