"""The loop in this process: what a recipe's fields do, and what a crash leaves."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from slmcheck.errors import CheckpointError, DataError, NonFiniteLossError, RecipeError
from slmcheck.records import Example
from slmcheck.testing import InterruptionError
from slmcheck.testing.trainer_contract import examples
from slmcheck.training import find_trainer
from slmcheck.training.committed import MARKER, checkpoint_folders
from slmcheck.training.history import read_events


def weights(trained) -> str:
    (file,) = trained.checkpoint.path.glob("*.safetensors")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def interrupted_at(step):
    def log_step(point) -> None:
        if point.step >= step and point.train_loss is not None:
            raise InterruptionError

    return log_step


def test_the_history_begins_with_what_is_done_and_how(whole) -> None:
    start = next(read_events(whole.job.output_dir / "history.jsonl"))
    assert start["kind"] == "start"
    assert start["engine"] == "flat batches, attention by rows"
    assert (start["total_steps"], start["train_rows"], start["validation_rows"], start["subset_rows"]) == (6, 24, 8, 8)
    assert start["trained_parameters"] == 2 * 2 * (2 * 64 + 2 * 48 + 3 * 96)


def test_checks_of_the_model_change_nothing(whole, train, monkeypatch) -> None:
    monkeypatch.setattr("slmcheck.training.trainer_setup.is_affordable", lambda *_: False)
    assert weights(train()) == weights(whole)


def test_gradient_checkpointing_trains_the_same(whole, train) -> None:
    again = train(gradient_checkpointing=True)
    assert [point.train_loss for point in again.points[1:]] == pytest.approx(
        [point.train_loss for point in whole.points[1:]], rel=1e-4
    )


def test_accumulation_trains_like_the_larger_batch(train) -> None:
    plain = {"options": {"r": 2}}  # without dropout, whose pattern depends on the batch
    whole = train(work="whole", **plain)
    split = train(work="split", per_device_train_batch_size=2, gradient_accumulation_steps=4, **plain)
    assert [point.train_loss for point in split.points[1:]] == pytest.approx(
        [point.train_loss for point in whole.points[1:]], rel=1e-4
    )


def test_without_validation_rows_the_last_weights_are_kept(train) -> None:
    run = train(validation=())
    assert all(point.validation_loss is None for point in run.points)
    end = list(read_events(run.job.output_dir / "history.jsonl"))[-1]
    assert (end["best_step"], end["last_step"]) == (6, 6)


def test_early_stopping_without_validation_rows_is_refused(train) -> None:
    with pytest.raises(RecipeError, match="early stopping needs validation rows"):
        train(validation=(), early_stopping_patience=1)


def test_a_warmup_that_takes_all_updates_is_refused(train) -> None:
    with pytest.raises(RecipeError, match="warmup_steps is 6, and there are 6 updates"):
        train(warmup_steps=6)


def test_no_training_rows_are_refused(train) -> None:
    with pytest.raises(RecipeError, match="no training rows"):
        train(train=())


def test_rows_whose_answer_does_not_fit_are_refused(train, recipe) -> None:
    with pytest.raises(DataError, match="does not fit"):
        train(data=replace(recipe.data, max_length=8))


def test_documents_are_learned_in_windows_and_recorded_as_one_row(train, recipe) -> None:
    text = "the horse drinks from the river and the candle burns in the window of the garden"
    documents = tuple(Example(id=f"d{number}", row={}, answer=text[number:]) for number in range(10))
    reading = {"task": "language_modeling", "data": replace(recipe.data, max_length=16, text_template=None)}
    run = train(train=documents, validation=documents[:2], per_device_train_batch_size=4, **reading)
    with np.load(run.job.output_dir / "rows.npz") as rows:
        assert rows["validation_tokens"].tolist() == [len(text) + 1, len(text)]
        assert np.isfinite(rows["validation_nll"]).all()
        assert rows["validation_nll"].shape == (3, 2)


def test_bf16_on_a_processor_is_noted(train) -> None:
    run = train(max_steps=1, bf16=True)
    notes = [event["text"] for event in read_events(run.job.output_dir / "history.jsonl") if event["kind"] == "note"]
    assert notes == ["'bf16: true' applies to GPUs; on cpu this run was trained in float32."]


def test_a_loss_that_explodes_ends_the_training(train) -> None:
    with pytest.raises(NonFiniteLossError, match=r"suite/recipe: .* became (nan|inf) at update"):
        train(trainer="full", options={}, learning_rate=1e30, optim="sgd", max_grad_norm=0.0)


@pytest.mark.parametrize("optim", ["adafactor", "adagrad", "adamw_torch_fused", "rmsprop", "sgd"])
def test_every_optimizer_that_is_offered_trains(train, optim) -> None:
    run = train(optim=optim, max_steps=1)
    assert run.points[-1].step == 1


@pytest.mark.parametrize(
    "name", ["constant_with_warmup", "cosine_with_restarts", "inverse_sqrt", "linear", "polynomial"]
)
def test_every_schedule_that_is_offered_trains(train, name) -> None:
    run = train(lr_scheduler_type=name, warmup_steps=2, max_steps=3)
    rates = [point.learning_rate for point in run.points if point.learning_rate is not None]
    assert rates[0] < rates[1]


class TestAfterACrash:
    def test_a_torn_checkpoint_is_passed_over(self, whole, train, make_job) -> None:
        with pytest.raises(InterruptionError):
            train(work="torn", log_step=interrupted_at(5))
        (newest,) = checkpoint_folders(make_job(work="torn").checkpoints_dir)
        (newest / MARKER).unlink()
        assert weights(train(work="torn")) == weights(whole)

    def test_a_checkpoint_without_its_optimizer_is_not_resumed_silently(self, whole, train, make_job) -> None:
        with pytest.raises(InterruptionError):
            train(work="torn", log_step=interrupted_at(5))
        (newest,) = checkpoint_folders(make_job(work="torn").checkpoints_dir)
        (newest / "optimizer.pt").unlink()
        assert weights(train(work="torn")) == weights(whole)

    def test_the_work_folder_may_have_moved(self, whole, train, make_job) -> None:
        with pytest.raises(InterruptionError):
            train(work="here", log_step=interrupted_at(5))
        shutil.move(make_job(work="here").output_dir.parent, make_job(work="there").output_dir.parent)
        assert weights(train(work="there")) == weights(whole)

    def test_a_training_that_had_stopped_early_is_not_trained_on(self, train, make_job) -> None:
        others = tuple(replace(example, answer=" ~~~~") for example in examples(8, start=24))
        stopping = {"validation": others, "early_stopping_patience": 2, "max_steps": 60, "eval_steps": 1}
        whole = train(work="whole", **stopping)
        shutil.copytree(make_job(work="whole").output_dir.parent, make_job(work="killed").output_dir.parent)
        (make_job(work="killed").checkpoints_dir / "finished.json").unlink()
        seen = []
        again = train(work="killed", log_step=seen.append, **stopping)
        assert seen == []
        assert weights(again) == weights(whole)
        assert again.points == whole.points
        assert max(point.step for point in whole.points) < 60

    def test_the_patience_that_was_used_up_is_remembered(self, train) -> None:
        others = tuple(replace(example, answer=" ~~~~") for example in examples(8, start=24))
        stopping = {"validation": others, "early_stopping_patience": 3, "max_steps": 60, "eval_steps": 1}
        whole = train(work="whole", **stopping)
        last = max(point.step for point in whole.points)
        with pytest.raises(InterruptionError):
            train(work="killed", log_step=interrupted_at(last), **stopping)
        again = train(work="killed", **stopping)
        assert max(point.step for point in again.points) == last
        assert weights(again) == weights(whole)

    def test_a_damaged_best_checkpoint_is_said(self, whole, make_job) -> None:
        job = make_job()
        shutil.copytree(whole.job.output_dir.parent, job.output_dir.parent)
        finished = json.loads((job.checkpoints_dir / "finished.json").read_text())
        best = job.checkpoints_dir / f"checkpoint-{finished['best_step']}"
        (best / "adapter_model.safetensors").write_bytes(b"damaged")
        with pytest.raises(CheckpointError, match="best checkpoint of this training is damaged"):
            find_trainer("lora").train(job)

    def test_only_the_best_and_the_newest_checkpoint_are_kept(self, train, make_job) -> None:
        train(work="whole", max_steps=12, eval_steps=2)
        assert len(checkpoint_folders(make_job(work="whole").checkpoints_dir)) <= 2


def test_the_history_goes_to_tensorboard_where_asked(train) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(report_to="tensorboard")
    events = EventAccumulator(str(run.job.output_dir / "tensorboard"))
    events.Reload()
    losses = {event.step: event.value for event in events.Scalars("eval/loss")}
    evaluated = {point.step: point.validation_loss for point in run.points if point.validation_loss is not None}
    assert losses == pytest.approx({step: loss for step, loss in evaluated.items() if step in losses}, rel=1e-5)
    assert len(losses) >= 2
