"""A small suite of two moods on the embedded base model: the smallest thing that the whole product works on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

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
    early: {field: text, matches: "note [01]"}
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


def write_tests(folder: Path, source: str) -> None:
    """Write the test file of the suite in `folder`."""
    (folder / "mood" / "test_mood.py").write_text(source)


@dataclass(frozen=True)
class Trained:
    """The store that holds the trained run, and what is known of its score."""

    store: Path
    accuracy: float


def train_into(root: Path) -> Trained:
    """Train, predict and measure the suite's run in a store below `root`."""
    from slmcheck.evaluation import open_recipe
    from slmcheck.storage import Store
    from slmcheck.workspace import Workspace

    write_suite(root / "mood")
    store = root / "store"
    run = open_recipe(root / "mood" / "lora.yaml", Workspace(root=root, store=Store(store)))
    accuracy = float(run.accuracy)
    _ = run.f1, run.base.accuracy, run.gap("accuracy"), run.base.gap("accuracy"), run.slice("early").accuracy
    return Trained(store, accuracy)
