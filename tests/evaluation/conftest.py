"""A project whose runs are files of saved predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

TONES = ("angry", "glad", "sad")
RECIPE = """\
base_model: slmcheck/tiny
trainer: pretrained
task: classification
data:
  train: train.jsonl
  test: test.jsonl
  text_template: "Phrase: {phrase}\\nTone: {tone}"
  answer: tone
  id: id
options: {predictions: PREDICTIONS}
"""
ROWS = 60


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write rows as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rows_of(prefix: str, count: int) -> list[dict[str, object]]:
    """Rows with three tones in turn."""
    return [
        {"id": f"{prefix}{place}", "phrase": f"phrase {prefix} {place}", "tone": TONES[place % 3]}
        for place in range(count)
    ]


def answers(wrong: int) -> list[dict[str, object]]:
    """Saved predictions of the test rows, the first ones wrong."""
    return [
        {"id": f"test{place}", "prediction": TONES[(place + (place < wrong)) % 3], "reference": TONES[place % 3]}
        for place in range(ROWS)
    ]


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the runs tone/old (6 of 60 wrong) and tone/new (18 wrong); the project is the current folder."""
    folder = tmp_path / "suites" / "tone"
    folder.mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    write_rows(folder / "train.jsonl", rows_of("train", 24))
    write_rows(folder / "test.jsonl", rows_of("test", ROWS))
    for name, wrong in (("old", 6), ("new", 18)):
        write_rows(folder / f"{name}.jsonl", answers(wrong))
        (folder / f"{name}.yaml").write_text(RECIPE.replace("PREDICTIONS", f"{name}.jsonl"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLMCHECK_STORE", raising=False)
    return folder
