"""A job carried out by its trainer, in the process that calls; what it leaves is complete when this returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from slmcheck.backends.environment import this_environment
from slmcheck.discovery import TRAINERS, find_plugin
from slmcheck.records import DeviceClass, Environment, Recipe, to_json
from slmcheck.training import jobs
from slmcheck.training.committed import checkpoint_folders, is_committed, step_of
from slmcheck.training.precision import training_dtype
from slmcheck.training.protocol import Trainer, TrainingJob
from slmcheck.training.result import Outcome, write_outcome

ENVIRONMENT = "env.json"


def find_trainer(name: str) -> Trainer:
    """The trainer plugin of that name.

    Raises:
        UnknownPluginError: If none is installed.
    """
    return cast("Trainer", cast("type", find_plugin(TRAINERS, name))())


def training_environment(recipe: Recipe, device: DeviceClass | None = None) -> Environment:
    """Where this machine would train a recipe, told without a model library.

    Args:
        recipe: Says threads and precision.
        device: None detects it.
    """
    found = this_environment(device=device, threads=recipe.threads)
    dtype = training_dtype(recipe, found.device)
    return this_environment(
        device=found.device, threads=recipe.threads, bf16=dtype == "bfloat16", fp16=dtype == "float16"
    )


def carry_out(job: TrainingJob) -> None:
    """Have the trainer of the recipe carry out a job, and write what came of it into the work folder.

    Raises:
        SlmcheckError: As the trainer does.
    """
    work = job.output_dir.parent
    job.output_dir.mkdir(parents=True, exist_ok=True)
    trainer = find_trainer(job.recipe.trainer)
    trainer.check(job.recipe)
    resumed_from = _newest_step(job.checkpoints_dir)
    environment = training_environment(job.recipe, job.device)
    (job.output_dir / ENVIRONMENT).write_text(json.dumps(to_json(environment), indent=1) + "\n", encoding="utf-8")
    checkpoint = trainer.train(job)
    outcome = Outcome(checkpoint=checkpoint, environment=environment, resumed_from=resumed_from)
    write_outcome(work / jobs.OUTCOME, outcome)


def _newest_step(checkpoints: Path) -> int | None:
    committed = [step_of(folder) for folder in checkpoint_folders(checkpoints) if is_committed(folder)]
    return max(committed, default=None)
