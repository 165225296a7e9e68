"""A small model, rows, and trainings in this process that many tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from slmcheck.records import Checkpoint, DataSpec, HistoryPoint, Recipe
from slmcheck.testing import write_small_model
from slmcheck.testing.trainer_contract import examples
from slmcheck.training import TrainingJob, find_trainer, read_history


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("small-model"))


@pytest.fixture(scope="session")
def recipe(small_model: Path) -> Recipe:
    return Recipe(
        name="suite/recipe",
        base_model=str(small_model),
        task="classification",
        trainer="lora",
        data=DataSpec(train=("train.jsonl",), text_template="Thing: {thing}\nColour: {colour}", answer="colour"),
        options={"r": 2, "lora_dropout": 0.1},
        learning_rate=1e-2,
        per_device_train_batch_size=8,
        max_steps=6,
        eval_steps=3,
    )


@dataclass(frozen=True)
class Trained:
    job: TrainingJob
    checkpoint: Checkpoint
    points: tuple[HistoryPoint, ...]


MakeJob = Callable[..., TrainingJob]
Train = Callable[..., Trained]


def job_in(folder: Path, recipe: Recipe, **changes) -> TrainingJob:
    """A job of 24 training and 8 validation rows; changes are fields of the job, or of the recipe."""
    fields = {
        "train": examples(24),
        "validation": examples(8, start=24),
        "device": "cpu",
        "log_step": lambda point: None,
    }
    fields |= {name: changes.pop(name) for name in list(changes) if name in fields}
    changed = replace(recipe, **changes)
    return TrainingJob(recipe=changed, base_model=changed.base_model, output_dir=folder / "publish", **fields)


def train_here(job: TrainingJob) -> Trained:
    checkpoint = find_trainer(job.recipe.trainer).train(job)
    return Trained(job, checkpoint, read_history(job.output_dir / "history.jsonl"))


@pytest.fixture
def make_job(recipe: Recipe, tmp_path: Path) -> MakeJob:
    """`make_job(work="a", max_steps=3, log_step=...)`."""

    def make(work: str = "work", **changes) -> TrainingJob:
        return job_in(tmp_path / work, recipe, **changes)

    return make


@pytest.fixture
def train(make_job: MakeJob) -> Train:
    """Trains in this process: `train(max_steps=3)`."""
    return lambda **changes: train_here(make_job(**changes))


@pytest.fixture(scope="session")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training of the recipe that nothing interrupted; only to be looked at."""
    return train_here(job_in(tmp_path_factory.mktemp("whole"), recipe))
