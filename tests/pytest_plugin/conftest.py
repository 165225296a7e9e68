"""A small suite on the embedded base model, trained once for all tests of the plugin."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

RECIPE = """\
base_model: slmcheck/tiny
trainer: lora
task: classification
data:
  train: train.jsonl
  validation: validation.jsonl
  test: test.jsonl
  text_template: "Text: {text}\\nMood: {mood}"
  answer: mood
  max_length: 64
  slices:
    short: {field: text, max_words: 6}
learning_rate: 3.0e-3
max_steps: 8
per_device_train_batch_size: 8
options: {r: 4}
"""
GLAD = ["what a lovely day", "i am so happy", "we won the match", "the cake is great", "thanks for the gift"]
SAD = ["my dog is ill", "i lost my keys", "it rained all week", "she missed the train", "the soup was cold"]


def write_suite(folder: Path) -> None:
    """The recipe and its data: 60 training, 10 validation and 30 test rows of two moods."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lora.yaml").write_text(RECIPE)
    for name, count, word in (("train", 6, "day"), ("validation", 1, "walk"), ("test", 3, "note")):
        rows = [
            {"text": f"{text}, {word} {number}", "mood": mood}
            for number in range(count)
            for mood, texts in (("glad", GLAD), ("sad", SAD))
            for text in texts
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@dataclass(frozen=True)
class Trained:
    """The store that holds the trained run, and what is known of its score."""

    store: Path
    accuracy: float


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The suite's run, trained, predicted and measured into one store."""
    from slmcheck.evaluation import open_recipe
    from slmcheck.storage import Store
    from slmcheck.workspace import Workspace

    root = tmp_path_factory.mktemp("trained")
    write_suite(root / "mood")
    store = root / "store"
    run = open_recipe(root / "mood" / "lora.yaml", Workspace(root=root, store=Store(store)))
    accuracy = float(run.accuracy)
    _ = run.f1, run.base.accuracy, run.gap("accuracy"), run.base.gap("accuracy"), run.slice("short").accuracy
    return Trained(store, accuracy)


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the sessions under test share their compiled modules, so that each starts in a moment."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture(autouse=True)
def _shared_bytecode(bytecode: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(bytecode))


@pytest.fixture
def suite(pytester: pytest.Pytester, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project whose suite finds its run in the store of all tests; training anew would be an error."""
    write_suite(pytester.path / "mood")
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider\n")
    monkeypatch.setenv("SLMCHECK_STORE", str(trained.store))
    return pytester


def write_tests(project: pytest.Pytester, source: str) -> None:
    """Write the suite's test file."""
    (project.path / "mood" / "test_mood.py").write_text(source)
