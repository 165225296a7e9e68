from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from slmcheck.errors import NonFiniteLossError
from slmcheck.testing.trainer_contract import examples
from slmcheck.training.batches import FlatPositionsCollator, PaddedCollator, feature_of
from slmcheck.training.job_rows import rows_of, updates_of
from slmcheck.training.label_loss import learned_tokens
from slmcheck.training.loading import load_base_model
from slmcheck.training.recorder import Recorder
from slmcheck.training.token_rows import IGNORED
from slmcheck.training.trainer_setup import make_trainer


@pytest.fixture
def setup(make_job):
    """A Trainer on the small model, all weights trained, and its rows."""
    recorders = []

    def make(**changes):
        job = make_job(trainer="full", options={}, **changes)
        model, tokenizer = load_base_model(job, frozen=False)
        rows = rows_of(job, tokenizer)
        job.output_dir.mkdir(parents=True, exist_ok=True)
        recorder = Recorder(job.output_dir, rows.record, job.log_step, peak_gpu=lambda: 0, resume_from=None)
        recorders.append(recorder)
        engine = SimpleNamespace(collate=FlatPositionsCollator(), padded=False, name="")
        return make_trainer(model, job, rows, engine, updates_of(job, rows), recorder), rows

    yield make
    for recorder in recorders:
        recorder.close()


def gradient(trainer, rows, sizes):
    """The gradient of one update over micro-batches of the given sizes."""
    features, batches = [feature_of(row) for row in rows.train], []
    for size in sizes:
        batches.append(trainer.data_collator(features[:size]))
        features = features[size:]
    trainer.model.zero_grad()
    total = 0.0
    for loss in trainer.update_losses(batches):
        loss.backward()
        total += float(loss.detach())
    return torch.cat([weight.grad.flatten() for weight in trainer.model.parameters()]), total


def test_only_learned_tokens_have_logits(small_model, make_job) -> None:
    model, tokenizer = load_base_model(make_job(), frozen=False)
    rows = rows_of(make_job(), tokenizer)
    batch = FlatPositionsCollator()([feature_of(row) for row in rows.train[:3]])
    learned = learned_tokens(model, batch)
    assert learned.logits.shape == (sum(row.learned for row in rows.train[:3]), 259)
    assert learned.targets.tolist() == [label for row in rows.train[:3] for label in row.labels if label != IGNORED]


def test_flat_and_padded_batches_give_the_nll_of_a_plain_forward_pass(small_model, make_job) -> None:
    model, tokenizer = load_base_model(make_job(), frozen=False)
    rows = rows_of(make_job(), tokenizer).train[:3]
    plain = AutoModelForCausalLM.from_pretrained(small_model, dtype=torch.float32)
    expected = []
    for row in rows:
        labels = torch.tensor(row.labels)[1:]
        logits = plain(input_ids=torch.tensor([row.ids])).logits[0, :-1]
        expected.append(functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum").item())
    for collate in (FlatPositionsCollator(), PaddedCollator(0)):
        learned = learned_tokens(model, collate([feature_of(row) for row in rows]))
        nats, _ = learned.by_row(learned.nll(), 3)
        assert nats == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sizes", [[1] * 12, [3] * 4, [5, 5, 2]])
def test_an_update_is_the_same_however_it_is_accumulated(setup, sizes) -> None:
    trainer, rows = setup()
    whole, loss = gradient(trainer, rows, [12])
    split, split_loss = gradient(trainer, rows, sizes)
    assert split_loss == pytest.approx(loss, rel=1e-6)
    torch.testing.assert_close(split, whole, rtol=1e-4, atol=1e-6)


def test_class_weights_are_divided_by_the_weights_of_the_whole_update(setup) -> None:
    trainer, rows = setup(class_weights={"red": 5.0})
    whole, loss = gradient(trainer, rows, [12])
    split, split_loss = gradient(trainer, rows, [7, 5])
    torch.testing.assert_close(split, whole, rtol=1e-4, atol=1e-6)
    assert split_loss == pytest.approx(loss, rel=1e-6)
    assert loss != pytest.approx(gradient(*setup(), [12])[1], rel=1e-3)


def test_label_smoothing_is_that_of_torch(setup) -> None:
    trainer, rows = setup(label_smoothing=0.2)
    _, loss = gradient(trainer, rows, [4])
    learned = learned_tokens(trainer.model, trainer.data_collator([feature_of(row) for row in rows.train[:4]]))
    expected = functional.cross_entropy(learned.logits, learned.targets, label_smoothing=0.2)
    assert loss == pytest.approx(expected.detach().item(), rel=1e-5)


def test_an_evaluation_does_not_depend_on_its_batches(setup, monkeypatch) -> None:
    losses = []
    for tokens in (1, 100, 4096):
        monkeypatch.setattr("slmcheck.training.trainer_setup.EVALUATION_TOKENS", tokens)
        losses.append(setup()[0].measure()["eval_loss"])
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_an_evaluation_is_the_mean_over_tokens(setup) -> None:
    trainer, rows = setup(validation=(*examples(3), replace(examples(4)[3], answer=" a much longer answer")))
    loss = trainer.measure()["eval_loss"]
    arrays = rows.record.validation.arrays("validation", steps=True)
    expected = arrays["validation_nll"].sum() / arrays["validation_tokens"].sum()
    assert loss == pytest.approx(float(expected), rel=1e-6)


def test_a_row_is_right_when_every_token_is_the_most_likely_one(setup) -> None:
    trainer, rows = setup()
    learned = learned_tokens(trainer.model, trainer.data_collator([feature_of(rows.train[0])]))
    likely = replace(learned, targets=learned.logits.argmax(dim=-1))
    almost = replace(likely, targets=torch.cat([likely.targets[:-1], likely.targets[-1:] + 1]))
    assert likely.by_row(likely.nll(), 1)[1] == [True]
    assert almost.by_row(almost.nll(), 1)[1] == [False]


def test_a_loss_that_is_no_number_says_what_to_change(setup) -> None:
    trainer, rows = setup()
    with torch.no_grad():
        trainer.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError) as error:
        gradient(trainer, rows, [2])
    assert str(error.value).splitlines()[0] == "suite/recipe: the loss became nan at update 1."
    assert "learning_rate: 0.002, warmup_ratio: 0.05" in str(error.value)
