"""A recipe as the arguments of transformers' Trainer.

A leaf module: it imports transformers at its top and is itself imported only by the loop.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from transformers import TrainingArguments

from slmcheck.training.precision import training_dtype
from slmcheck.training.protocol import TrainingJob
from slmcheck.training.steps import UpdatePlan

TENSORBOARD = "tensorboard"
"""Folder of a run with its event files: `tensorboard --logdir` shows them."""


def training_arguments(
    job: TrainingJob, plan: UpdatePlan, *, padded: bool, selects: bool, log_every: int
) -> TrainingArguments:
    """The arguments for a job.

    Names are those of transformers 5: `warmup_ratio` is already in `plan.warmup_steps`, length grouping is a sampling
    strategy. The number of updates is always given, so that epochs need no second rule.

    Args:
        job: The job.
        plan: Its updates.
        padded: Whether batches are padded: rows of like length then go together.
        selects: Whether validation rows select the checkpoint.
        log_every: Updates between two entries of the history.
    """
    recipe = job.recipe
    dtype = training_dtype(recipe, job.device)
    reporters = [recipe.report_to] if recipe.report_to not in (None, "none") else []
    if "tensorboard" in reporters:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(job.output_dir / TENSORBOARD))
    return TrainingArguments(
        output_dir=str(job.checkpoints_dir),
        max_steps=plan.total_steps,
        per_device_train_batch_size=recipe.per_device_train_batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.lr_scheduler_type,
        warmup_steps=plan.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        optim=recipe.optim,
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        seed=recipe.seed,
        data_seed=recipe.seed,
        use_cpu=job.device == "cpu",
        **_sampling(padded),
        eval_strategy="steps",
        eval_steps=plan.eval_steps,
        save_strategy="steps",
        save_steps=plan.eval_steps,
        metric_for_best_model="eval_loss" if selects else None,
        greater_is_better=False if selects else None,
        restore_callback_states_from_checkpoint=True,
        logging_strategy="steps",
        logging_steps=log_every,
        logging_nan_inf_filter=False,
        report_to=reporters,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )


def _sampling(padded: bool) -> Mapping[str, str | bool]:
    """Random order, or rows of like length together where padding would cost; under the name of this version."""
    if any(field.name == "train_sampling_strategy" for field in dataclasses.fields(TrainingArguments)):
        return {"train_sampling_strategy": "group_by_length" if padded else "random"}
    return {"group_by_length": padded}
