"""The Trainer of a job, and the checks of its model.

A leaf module: it imports transformers at its top and is itself imported only by the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel, PrinterCallback

from slmcheck.records import Example
from slmcheck.training.arguments import training_arguments
from slmcheck.training.batches import TokenRows, feature_of, length_sorted_batches
from slmcheck.training.custom_loss import load_loss
from slmcheck.training.engine import Engine
from slmcheck.training.job_rows import JobRows
from slmcheck.training.label_loss import EvaluatedRows, LabelLossTrainer, LogLines, Patience
from slmcheck.training.losses import loss_of
from slmcheck.training.model_checks import Probe, check_after, check_before, check_vocabulary, is_affordable
from slmcheck.training.precision import precision_note
from slmcheck.training.protocol import TrainingJob
from slmcheck.training.recorder import Recorder
from slmcheck.training.rows import SplitRecord
from slmcheck.training.steps import UpdatePlan
from slmcheck.training.token_rows import TokenRow

EVALUATION_TOKENS = 4096
"""Tokens of one batch of an evaluation."""
PROBE_ROWS = 8
"""Training rows that the checks of the model read."""
MOST_LOGGED = 2000
"""A history has about so many updates at most; longer trainings log the mean of several."""


def make_trainer(
    model: PreTrainedModel, job: TrainingJob, rows: JobRows, engine: Engine, plan: UpdatePlan, recorder: Recorder
) -> LabelLossTrainer:
    """The Trainer that carries out a job."""
    recipe = job.recipe
    if recipe.gradient_checkpointing:
        _checkpoint_activations(model)
    patience, source = recipe.early_stopping_patience, loss_of(recipe)
    loss = None if source is None else load_loss(source, recipe)
    trainer = LabelLossTrainer(
        recorder=recorder,
        validation=_evaluated(rows.validation, rows.record.validation, engine),
        subset=_evaluated(rows.subset, rows.record.subset, engine),
        recipe=recipe,
        loss=loss,
        classes=_classes(job.train),
        by_length=engine.padded,
        model=model,
        args=training_arguments(
            job,
            plan,
            padded=engine.padded,
            selects=bool(rows.validation),
            log_every=max(1, plan.total_steps // MOST_LOGGED),
        ),
        data_collator=engine.collate,
        train_dataset=TokenRows(rows.train),
        eval_dataset=TokenRows(rows.validation),  # asked for by the Trainer; `evaluate` reads its own batches
        callbacks=[LogLines(recipe.logging_steps), *([] if patience is None else [Patience(patience)])],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def record_checks_before(
    trainer: LabelLossTrainer, job: TrainingJob, rows: JobRows, engine: Engine, recorder: Recorder, tokens: int
) -> None:
    """Check the model before its first update and write what is found; `tokens` is the size of the tokenizer."""
    note, missing = precision_note(job.recipe, job.device), check_vocabulary(trainer.model, tokens)
    if note is not None:
        recorder.note(note)
    if missing is not None:
        recorder.finding(missing)
    if job.recipe.loss is not None:
        recorder.note(f"Training minimises '{job.recipe.loss}'; validation loss is the negative log-likelihood still.")
    probed = rows.train[:PROBE_ROWS]
    if not is_affordable(trainer.model, sum(len(row.ids) for row in probed), job.device):
        recorder.note("The checks of the model before training were left out: they would take minutes.")
        return
    features = [feature_of(row) for row in probed]
    probe = Probe(
        model=trainer.model,
        together=trainer.prepared(engine.collate(features)),
        apart=[trainer.prepared(engine.collate([feature])) for feature in features],
        loss=trainer.update_losses,
        mixes_rows=trainer.mixes_rows,
        learning_rate=job.recipe.learning_rate,
    )
    for finding in check_before(probe):
        recorder.finding(finding)


def record_checks_after(trainer: LabelLossTrainer, rows: JobRows, engine: Engine, recorder: Recorder) -> None:
    """Check the trained model and write what is found."""
    batch = engine.collate([feature_of(row) for row in rows.train[:PROBE_ROWS]])
    for finding in check_after(trainer.model, trainer.prepared(batch)):
        recorder.finding(finding, after=True)


def peak_gpu(job: TrainingJob) -> Callable[[], int]:
    """Gives the peak memory of the GPU in bytes so far; 0 without one."""
    return (lambda: int(torch.cuda.max_memory_allocated())) if job.device == "cuda" else (lambda: 0)


def _classes(examples: Sequence[Example]) -> list[int]:
    """The place of each example's answer among its options; -1 where it has none."""
    return [
        example.options.index(example.references[0])
        if example.options and example.references and example.references[0] in example.options
        else -1
        for example in examples
    ]


def _evaluated(rows: Sequence[TokenRow], record: SplitRecord, engine: Engine) -> EvaluatedRows | None:
    if not rows:
        return None
    batches = length_sorted_batches(rows, max_tokens=EVALUATION_TOKENS, padded=engine.padded)
    return EvaluatedRows(batches=[engine.collate(features) for features in batches], record=record)


def _checkpoint_activations(model: PreTrainedModel) -> None:
    options = {"use_reentrant": False}  # the reentrant form cuts the graph where the embeddings are frozen
    if hasattr(model, "activation_checkpointing_enable"):  # the newer name
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
