"""A real small model, rows of real data, and the plain way to ask a model: one row at a time, by transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from slmcheck.backends import LanguageModel, load
from slmcheck.inference import predict
from slmcheck.records import Checkpoint, DataSpec, EvaluationSpec, Example, PredictedRow, Recipe

Ask = Callable[..., list[PredictedRow]]


@pytest.fixture(scope="session")
def stories(real_data) -> Path:
    return real_data / "models" / "stories260k"


@pytest.fixture(scope="session")
def model(stories) -> LanguageModel:
    return load(Checkpoint(kind="model", path=stories, key="stories"), threads=1)


@pytest.fixture(scope="session")
def two_threads(stories) -> LanguageModel:
    return load(Checkpoint(kind="model", path=stories, key="stories"), threads=2)


@pytest.fixture(scope="session")
def plain(stories):
    """The same model as transformers loads it."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(stories).eval()


@pytest.fixture(scope="session")
def plain_log_probabilities(plain) -> Callable[[Sequence[int]], np.ndarray]:
    """Log-probabilities of every next token after every token of one sequence, by a plain forward pass."""
    import torch

    def ask(ids: Sequence[int]) -> np.ndarray:
        with torch.no_grad():
            logits = plain(input_ids=torch.tensor([list(ids)])).logits[0]
        return torch.log_softmax(logits.double(), dim=-1).numpy()

    return ask


@pytest.fixture(scope="session")
def messages(real_data) -> list[str]:
    """Texts of real SMS messages."""
    return texts_of(real_data / "data" / "sms_spam" / "test.jsonl")


@pytest.fixture(scope="session")
def stories_texts(real_data) -> list[str]:
    """Real short stories."""
    return texts_of(real_data / "data" / "tinystories_1k" / "test.jsonl")


def texts_of(file: Path) -> list[str]:
    return [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines()]


def recipe_for(task: str, **evaluation: object) -> Recipe:
    return Recipe(
        name="suite/recipe",
        base_model="stories260k",
        task=task,
        trainer="lora",
        data=DataSpec(text_template="{prompt}{answer}", answer="answer"),
        evaluation=EvaluationSpec(**evaluation),
    )


@pytest.fixture(scope="session")
def recipe() -> Callable[..., Recipe]:
    return recipe_for


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Predict and sort the rows, so that equal answers compare equal."""

    def ask_model(model: LanguageModel, examples: Sequence[Example], kind: str, recipe: Recipe) -> list[PredictedRow]:
        rows: list[PredictedRow] = []
        predict(model, examples, kind=kind, recipe=recipe, on_rows=rows.extend)
        return sorted(rows, key=lambda row: row.row)

    return ask_model
