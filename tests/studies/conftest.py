"""A project whose runs are files of saved predictions: studies at work without a training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from slmcheck import recipes
from slmcheck.records import Recipe
from slmcheck.storage import Store
from slmcheck.studies import Trainings
from slmcheck.workspace import Workspace

TONES = ("angry", "glad", "sad")
RECIPE = """\
base_model: slmcheck/tiny
trainer: pretrained
task: classification
data:
  train: train.jsonl
  validation: validation.jsonl
  test: test.jsonl
  text_template: "Phrase: {phrase}\\nTone: {tone}"
  answer: tone
  id: id
options: {predictions: wrong_6.jsonl}
"""
SEARCH = """\
search:
  num_trials: 8
  metric: accuracy
  space:
    options.predictions: {choices: [wrong_6.jsonl, wrong_30.jsonl, wrong_60.jsonl]}
    learning_rate: {low: 1.0e-5, high: 1.0e-2, log: true}
    num_train_epochs: {low: 1, high: 4}
"""
WRONG = (6, 30, 60)
ROWS = {"train": 60, "validation": 120, "test": 120}


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write rows as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rows_of(split: str, count: int) -> list[dict[str, object]]:
    """Rows with three tones in turn."""
    return [{"id": f"{split}{i}", "phrase": f"phrase {split} {i}", "tone": TONES[i % 3]} for i in range(count)]


def write_project(folder: Path) -> Path:
    """Rows and files of answers with 6, 30 and 60 of 120 wrong in each split; gives the folder of the suite."""
    suite = folder / "tone"
    suite.mkdir(parents=True)
    for split, count in ROWS.items():
        write_rows(suite / f"{split}.jsonl", rows_of(split, count))
    for wrong in WRONG:
        answers = [
            {
                "id": f"{split}{i}",
                "prediction": TONES[(i + 1) % 3] if i < wrong * count // 120 else TONES[i % 3],
                "reference": TONES[i % 3],
            }
            for split, count in ROWS.items()
            for i in range(count)
        ]
        write_rows(suite / f"wrong_{wrong}.jsonl", answers)
    (suite / "plain.yaml").write_text(RECIPE, encoding="utf-8")
    (suite / "search.yaml").write_text(RECIPE + SEARCH, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider --import-mode=importlib\n")
    return suite


@dataclass
class Project:
    """The suite, its store, and what was told."""

    suite: Path
    workspace: Workspace
    told: list[str] = field(default_factory=list)

    def trainings(self, **settings: object) -> Trainings:
        """Trainings in this project's store, told to `told`."""
        return Trainings(workspace=self.workspace, tell=self.told.append, **settings)  # type: ignore[arg-type]

    def recipe(self, name: str = "plain", **patch: object) -> Recipe:
        """A recipe of the suite with other values: `recipe(learning_rate=0.1)`; two underscores are a dot."""
        found = recipes.load(self.suite / f"{name}.yaml")
        return recipes.patched(found, {key.replace("__", "."): value for key, value in patch.items()})  # type: ignore[misc]

    def elsewhere(self, folder: Path) -> Project:
        """The same suite with an empty store."""
        store = Store(folder / "store")
        return replace(self, workspace=replace(self.workspace, store=store, retrained=set(), siblings={}), told=[])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A suite of saved predictions and an empty store."""
    suite = write_project(tmp_path)
    return Project(suite=suite, workspace=Workspace(root=tmp_path, store=Store(tmp_path / "store")))
