"""The loop that trainers share: rows -> batches -> updates, evaluations, checkpoints, history, the best weights.

Light by itself; torch and transformers are imported when the loop starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slmcheck.data import Splits, train_subset
from slmcheck.data.tokenizers import TextTokenizer, as_text_tokenizer
from slmcheck.errors import RecipeError
from slmcheck.records import Example, Json
from slmcheck.training.committed import (
    PREFIX,
    Finished,
    newest_committed,
    read_finished,
    write_finished,
)
from slmcheck.training.precision import precision_note, training_dtype
from slmcheck.training.protocol import TrainingJob
from slmcheck.training.recorder import Recorder
from slmcheck.training.rows import RowRecord, SplitRecord
from slmcheck.training.steps import UpdatePlan, plan_updates
from slmcheck.training.token_rows import TokenRow, tokenise

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from slmcheck.training.engine import Engine
    from slmcheck.training.label_loss import EvaluatedRows, LabelLossTrainer

EVALUATION_TOKENS = 4096
"""Tokens of one batch of an evaluation."""
PROBE_ROWS = 8
"""Training rows that the checks of the model read."""
MOST_LOGGED = 2000
"""A history has about so many updates at most; longer trainings log the mean of several."""


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """The examples of a job and their token rows."""

    train: list[TokenRow]
    validation: list[TokenRow]
    subset: list[TokenRow]
    subset_examples: tuple[Example, ...]

    @property
    def all(self) -> list[TokenRow]:
        return [*self.train, *self.validation]


def supervised_loop(model: PreTrainedModel, tokenizer: object, job: TrainingJob) -> Finished:
    """Train `model` on the rows of a job; afterwards it holds the best weights.

    Resumes from the newest committed checkpoint of an earlier attempt; an attempt that had finished is not trained
    again. Writes history.jsonl and rows.npz into `job.output_dir`.

    Args:
        model: On its device; the weights that require a gradient are trained.
        tokenizer: Of the base model: a TextTokenizer, or a fast tokenizer of transformers.
        job: The job.

    Returns:
        How training ended.

    Raises:
        DataError: If rows cannot be used.
        NonFiniteLossError: If the loss becomes NaN or infinite.
    """
    from slmcheck.training.engine import choose_engine
    from slmcheck.training.weights import load_weights

    view = as_text_tokenizer(tokenizer)
    rows = _tokenised(view, job)
    _check(job, rows)
    job.checkpoints_dir.mkdir(parents=True, exist_ok=True)
    resume_from = newest_committed(job.checkpoints_dir)
    engine = choose_engine(model, rows.all, pad_id=view.pad_id or 0, device=model.device)
    plan = plan_updates(
        job.recipe,
        rows=len(rows.train),
        row_tokens=sum(len(row.ids) for row in rows.train),
        evaluated_tokens=sum(len(row.ids) for row in [*rows.validation, *rows.subset]),
    )
    recorder = Recorder(
        job.output_dir, _record(job, rows), job.log_step, peak_gpu=_peak_gpu(job), resume_from=resume_from
    )
    trainer = _trainer(model, job, rows, engine, plan, recorder)
    finished = read_finished(job.checkpoints_dir) or _stopped_at(resume_from)
    if finished is None:
        if resume_from is None:
            recorder.start(_about(job, rows, engine, plan, model))
            _check_before(trainer, job, rows, engine, recorder, vocabulary=view.backend.get_vocab_size())
            trainer.measure()
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from is not None else None)
        finished = Finished(
            last_step=trainer.state.global_step,
            best_step=trainer.state.best_global_step or trainer.state.global_step,
            stopped_early=trainer.state.global_step < plan.total_steps,
        )
    write_finished(job.checkpoints_dir, finished)
    load_weights(model, job.checkpoints_dir / f"{PREFIX}{finished.best_step}")
    _check_after(trainer, rows, engine, recorder)
    recorder.finish(finished.last_step, dict(finished.__dict__))
    return finished


def _tokenised(tokenizer: TextTokenizer, job: TrainingJob) -> _Rows:
    subset = train_subset(Splits(train=job.train), len(job.validation)) or job.train[:0]
    return _Rows(
        train=tokenise(job.train, tokenizer, job.recipe),
        validation=tokenise(job.validation, tokenizer, job.recipe),
        subset=tokenise(subset, tokenizer, job.recipe),
        subset_examples=subset,
    )


def _check(job: TrainingJob, rows: _Rows) -> None:
    if not rows.train:
        raise RecipeError(f"{job.recipe.name}: there are no training rows.\nName some in data.train.")
    if job.recipe.early_stopping_patience is not None and not rows.validation:
        raise RecipeError(
            f"{job.recipe.name}: early stopping needs validation rows, and there are none.\n"
            "Set data.validation, or remove early_stopping_patience."
        )


def _record(job: TrainingJob, rows: _Rows) -> RowRecord:
    return RowRecord(
        train=_split_record(job.train, rows.train),
        validation=_split_record(job.validation, rows.validation),
        subset=_split_record(rows.subset_examples, rows.subset),
    )


def _split_record(examples: Sequence[Example], rows: Sequence[TokenRow]) -> SplitRecord:
    tokens = [0] * len(examples)
    for row in rows:
        tokens[row.example] += row.learned
    return SplitRecord([example.id for example in examples], tokens)


def _trainer(
    model: PreTrainedModel,
    job: TrainingJob,
    rows: _Rows,
    engine: Engine,
    plan: UpdatePlan,
    recorder: Recorder,
) -> LabelLossTrainer:
    from transformers import PrinterCallback

    from slmcheck.training.arguments import training_arguments
    from slmcheck.training.batches import TokenRows
    from slmcheck.training.label_loss import LabelLossTrainer, LogLines, Patience

    recipe = job.recipe
    if recipe.gradient_checkpointing:
        _checkpoint_activations(model)
    patience = recipe.early_stopping_patience
    trainer = LabelLossTrainer(
        recorder=recorder,
        validation=_evaluated(rows.validation, recorder.record.validation, engine),
        subset=_evaluated(rows.subset, recorder.record.subset, engine),
        label_smoothing=recipe.label_smoothing,
        model=model,
        args=training_arguments(
            job, plan, padded=engine.padded, selects=bool(rows.validation), log_every=_log_every(plan)
        ),
        data_collator=engine.collate,
        train_dataset=TokenRows(rows.train),
        eval_dataset=TokenRows(rows.validation),  # asked for by the Trainer; `evaluate` reads its own batches
        callbacks=[LogLines(recipe.logging_steps), *([] if patience is None else [Patience(patience)])],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _check_before(
    trainer: LabelLossTrainer, job: TrainingJob, rows: _Rows, engine: Engine, recorder: Recorder, *, vocabulary: int
) -> None:
    from slmcheck.training.batches import feature_of
    from slmcheck.training.model_checks import Probe, check_before, check_vocabulary, is_affordable

    note, finding = precision_note(job.recipe, job.device), check_vocabulary(trainer.model, vocabulary)
    if note is not None:
        recorder.note(note)
    if finding is not None:
        recorder.finding(finding)
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
        learning_rate=job.recipe.learning_rate,
    )
    for finding in check_before(probe):
        recorder.finding(finding)


def _check_after(trainer: LabelLossTrainer, rows: _Rows, engine: Engine, recorder: Recorder) -> None:
    from slmcheck.training.batches import feature_of
    from slmcheck.training.model_checks import check_after

    probed = engine.collate([feature_of(row) for row in rows.train[:PROBE_ROWS]])
    for finding in check_after(trainer.model, trainer.prepared(probed)):
        recorder.finding(finding)


def _evaluated(rows: Sequence[TokenRow], record: SplitRecord, engine: Engine) -> EvaluatedRows | None:
    from slmcheck.training.batches import length_sorted_batches
    from slmcheck.training.label_loss import EvaluatedRows

    if not rows:
        return None
    batches = length_sorted_batches(rows, max_tokens=EVALUATION_TOKENS, padded=engine.padded)
    return EvaluatedRows(batches=[engine.collate(features) for features in batches], record=record)


def _checkpoint_activations(model: PreTrainedModel) -> None:
    options = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):  # the name since transformers 5.2
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)


def _log_every(plan: UpdatePlan) -> int:
    return max(1, plan.total_steps // MOST_LOGGED)


def _peak_gpu(job: TrainingJob) -> Callable[[], int]:
    if job.device != "cuda":
        return lambda: 0
    import torch

    return lambda: int(torch.cuda.max_memory_allocated())


def _about(job: TrainingJob, rows: _Rows, engine: Engine, plan: UpdatePlan, model: PreTrainedModel) -> dict[str, Json]:
    return {
        "total_steps": plan.total_steps,
        "steps_per_epoch": plan.steps_per_epoch,
        "eval_steps": plan.eval_steps,
        "engine": engine.name,
        "dtype": training_dtype(job.recipe, job.device),
        "train_rows": len(rows.train),
        "validation_rows": len(rows.validation),
        "subset_rows": len(rows.subset),
        "trained_parameters": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        "total_parameters": sum(weight.numel() for weight in model.parameters()),
    }


def _stopped_at(resume_from: Path | None) -> Finished | None:
    """How training ended if the newest checkpoint is its last; the stop itself is not kept by the Trainer."""
    if resume_from is None:
        return None
    state = json.loads((resume_from / "trainer_state.json").read_text(encoding="utf-8"))
    control = state["stateful_callbacks"]["TrainerControl"]["args"]
    if not control["should_training_stop"]:
        return None
    last = int(state["global_step"])
    return Finished(
        last_step=last,
        best_step=int(state["best_global_step"] or last),
        stopped_early=last < int(state["max_steps"]),
    )
