"""Recipe files and base model folders for the tests of recipes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

GOOD = """\
base_model: ./base
trainer: lora
task: classification
data:
  train: train.jsonl
  test: test.jsonl
  text_template: "Phrase: {phrase}\\nTone: {tone}"
  answer: tone
"""

WriteRecipe = Callable[..., Path]


@pytest.fixture
def base_folder(tmp_path: Path) -> Path:
    """A folder that looks like a base model; its weights are a few bytes."""
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 512}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def write_recipe(tmp_path: Path, base_folder: Path) -> WriteRecipe:
    """Write a recipe: `write_recipe("seed: 3\\n")` adds to a sound one, `write_recipe(text=...)` replaces it."""

    def write(more: str = "", *, text: str | None = None, name: str = "lora.yaml") -> Path:
        path = tmp_path / name
        path.write_text((GOOD if text is None else text) + more, encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_data(tmp_path: Path) -> None:
    """Rows for the recipe."""
    for name, start in (("train", 0), ("test", 100)):
        rows = [
            {"phrase": f"phrase {n}", "tone": ("glad", "sad")[n % 2], "mood": ("up", "down")[n % 2], "other": n}
            for n in range(start, start + 20)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
