"""The loop that trainers share: rows -> batches -> updates, evaluations, checkpoints, history, the best weights.

Light by itself; torch and transformers are imported when the loop starts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slmcheck.data.tokenizers import TextTokenizer, as_text_tokenizer
from slmcheck.records import Json
from slmcheck.training.committed import PREFIX, Finished, newest_committed, read_finished, write_finished
from slmcheck.training.job_rows import JobRows, rows_of, updates_of
from slmcheck.training.precision import training_dtype
from slmcheck.training.protocol import TrainingJob
from slmcheck.training.recorder import Recorder
from slmcheck.training.resources import gpu_reader
from slmcheck.training.steps import UpdatePlan

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


def supervised_loop(
    model: PreTrainedModel, tokenizer: object, job: TrainingJob, *, notes: Sequence[str] = ()
) -> Finished:
    """Train `model` on the rows of a job; afterwards it holds the best weights.

    Resumes from the newest committed checkpoint of an earlier attempt; an attempt that had finished is not trained
    again. Writes history.jsonl and rows.npz into `job.output_dir`.

    Args:
        model: On its device; the weights that require a gradient are trained.
        tokenizer: Of the base model: a TextTokenizer, or a fast tokenizer of transformers.
        job: The job.
        notes: What the trainer has to say of this training; the result carries it on.

    Returns:
        How training ended.

    Raises:
        DataError: If rows cannot be used.
        RecipeError: If there are no rows to train on or to stop early by.
        NonFiniteLossError: If the loss becomes NaN or infinite.
        CheckpointError: If the best checkpoint was damaged.
    """
    from slmcheck.training.quiet import quiet_libraries
    from slmcheck.training.trainer_setup import peak_gpu

    view = as_text_tokenizer(tokenizer)
    rows = rows_of(job, view)
    job.output_dir.mkdir(parents=True, exist_ok=True)
    job.checkpoints_dir.mkdir(parents=True, exist_ok=True)
    resume_from = newest_committed(job.checkpoints_dir)
    recorder = Recorder(
        job.output_dir,
        rows.record,
        job.log_step,
        peak_gpu=peak_gpu(job),
        gpu=gpu_reader(job.device),
        resume_from=resume_from,
    )
    try:
        with quiet_libraries():
            return _loop(model, view, job, rows, recorder, resume_from, notes)
    finally:
        recorder.close()


def _loop(
    model: PreTrainedModel,
    tokenizer: TextTokenizer,
    job: TrainingJob,
    rows: JobRows,
    recorder: Recorder,
    resume_from: Path | None,
    notes: Sequence[str],
) -> Finished:
    from slmcheck.training.engine import choose_engine
    from slmcheck.training.model_checks import refuse_unknown_tokens
    from slmcheck.training.trainer_setup import make_trainer, record_checks_after, record_checks_before
    from slmcheck.training.weights import load_weights

    plan = updates_of(job, rows)
    refuse_unknown_tokens(model, max(max(row.ids) for row in [*rows.train, *rows.validation]), job.base_model)
    engine = choose_engine(model, [*rows.train, *rows.validation], pad_id=tokenizer.pad_id or 0, device=model.device)
    trainer = make_trainer(model, job, rows, engine, plan, recorder)
    finished = read_finished(job.checkpoints_dir) or _stopped_at(resume_from)
    if finished is None:
        if resume_from is None:
            recorder.start(_about(job, rows, engine.name, plan, model))
            for note in notes:
                recorder.note(note)
            tokens = tokenizer.backend.get_vocab_size()
            record_checks_before(trainer, job, rows, engine, recorder, tokens)
            trainer.measure()
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from is not None else None)
        finished = Finished(
            last_step=trainer.state.global_step,
            best_step=trainer.state.best_global_step or trainer.state.global_step,
            stopped_early=trainer.state.global_step < plan.total_steps,
        )
    write_finished(job.checkpoints_dir, finished)
    load_weights(model, job.checkpoints_dir / f"{PREFIX}{finished.best_step}")
    record_checks_after(trainer, rows, engine, recorder)
    recorder.finish(finished)
    return finished


def _about(job: TrainingJob, rows: JobRows, engine: str, plan: UpdatePlan, model: PreTrainedModel) -> dict[str, Json]:
    return {
        "total_steps": plan.total_steps,
        "steps_per_epoch": plan.steps_per_epoch,
        "eval_steps": plan.eval_steps,
        "engine": engine,
        "dtype": training_dtype(job.recipe, job.device),
        "train_rows": len(rows.train),
        "validation_rows": len(rows.validation),
        "subset_rows": len(rows.subset),
        "trained_parameters": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        "total_parameters": sum(_count(weight) for weight in model.parameters()),
    }


def _count(weight: Tensor) -> int:
    """How many numbers a tensor stands for: two in each byte of a quantised one."""
    return int(weight.numel() if weight.is_floating_point() else 2 * weight.numel())


def _stopped_at(resume_from: Path | None) -> Finished | None:
    """How training ended if the newest checkpoint is its last; the Trainer forgets that it had stopped."""
    if resume_from is None:
        return None
    state = json.loads((resume_from / "trainer_state.json").read_text(encoding="utf-8"))
    if not state["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"]:
        return None
    last = int(state["global_step"])
    return Finished(
        last_step=last, best_step=int(state["best_global_step"] or last), stopped_early=last < int(state["max_steps"])
    )
