"""Losses of the user's own: named, read, loaded, called, and wrong in every way."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from slmcheck.errors import NonFiniteLossError, RecipeError
from slmcheck.records import Recipe
from slmcheck.training.custom_loss import LossBatch, PairLoss, load_loss
from slmcheck.training.losses import loss_of, loss_problems
from slmcheck.training.options import loop_problems
from tests.training.test_label_loss import gradient, setup  # noqa: F401 (a fixture)

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-loss.md"
FOCAL, CONTRASTIVE = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def with_loss(recipe: Recipe, tmp_path: Path):
    """A recipe beside a losses.py of the given source."""

    def make(source: str, name: str, **changes) -> Recipe:
        (tmp_path / "losses.py").write_text(source)
        return replace(recipe, path=tmp_path / "recipe.yaml", loss=f"losses.py:{name}", **changes)

    return make


def test_a_loss_is_found_without_running_its_file(with_loss) -> None:
    asked = with_loss("raise RuntimeError\n" + CONTRASTIVE, "ContrastiveLoss")
    assert loop_problems(asked) == []
    assert loss_of(asked).form == "pair"
    assert loss_of(with_loss("raise RuntimeError\n" + FOCAL, "focal")).form == "batch"


@pytest.mark.parametrize(
    ("source", "name", "problem"),
    [
        (FOCAL, "foca", "defines no 'foca'; it defines focal"),
        ("def two(a, b): ...", "two", "it takes 2 arguments"),
        ("class Deaf: ...", "Deaf", "__call__ or forward"),
        ("def broken(:", "broken", "no Python"),
        (FOCAL, "not a name", "expected a Python file"),
    ],
)
def test_a_loss_that_cannot_be_used_is_told_before_training(with_loss, source, name, problem) -> None:
    [found] = loss_problems(with_loss(source, name))
    assert problem in found


def test_a_missing_file_is_told_by_its_path(recipe: Recipe, tmp_path: Path) -> None:
    [found] = loss_problems(replace(recipe, path=tmp_path / "recipe.yaml", loss="lost.py:Loss"))
    assert str(tmp_path / "lost.py") in found


def test_pairs_need_two_rows_in_a_batch(with_loss) -> None:
    [found] = loss_problems(with_loss(CONTRASTIVE, "ContrastiveLoss", per_device_train_batch_size=1))
    assert "2 or more" in found


@pytest.mark.parametrize(("labels", "expected"), [((0, 0), 12.625), ((1, 1), 0.125), ((1, 0), 0.125)])
def test_the_contrastive_loss_has_the_values_worked_out_by_hand(with_loss, labels, expected) -> None:
    asked = with_loss(CONTRASTIVE, "ContrastiveLoss")
    loss = load_loss(loss_of(asked), asked).function
    assert isinstance(loss, PairLoss)
    one, other = torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.3, 0.4]])  # distances 5 and 0.5
    found = loss.of_pairs(one, other, torch.tensor(labels, dtype=torch.float32))
    assert float(found) == pytest.approx(expected, abs=1e-4)


def batch_of(rows: int, **changes) -> LossBatch:
    generator = torch.Generator().manual_seed(0)
    fields = {
        "logits": torch.randn(rows, 5, generator=generator, requires_grad=True),
        "targets": torch.arange(rows) % 5,
        "row": torch.arange(rows),
        "weights": torch.ones(rows),
        "classes": torch.arange(rows) % 2,
        "normaliser": torch.tensor(float(rows)),
        "label_smoothing": 0.0,
        "states": functional.normalize(torch.randn(rows, 3, generator=generator), dim=-1),
    }
    return LossBatch(**{**fields, **changes})


def test_a_pair_loss_is_added_to_cross_entropy_by_its_share_of_the_update(with_loss) -> None:
    asked = with_loss(CONTRASTIVE, "ContrastiveLoss")
    loss = load_loss(loss_of(asked), asked)
    batch = batch_of(4)
    one, other = torch.combinations(torch.arange(4)).T
    pairs = loss.function.of_pairs(
        batch.states[one], batch.states[other], (batch.classes[one] != batch.classes[other]).float()
    )
    cross_entropy = functional.cross_entropy(batch.logits, batch.targets)
    assert loss(batch).item() == pytest.approx((cross_entropy + pairs).item(), rel=1e-6)
    half = replace(batch, normaliser=torch.tensor(8.0))
    assert loss(half).item() == pytest.approx((cross_entropy + pairs).item() / 2, rel=1e-6)
    assert loss(batch_of(1)).item() == pytest.approx(batch_of(1).cross_entropy().item())


def test_cross_entropy_of_a_loss_is_the_default_loss(with_loss, setup) -> None:  # noqa: F811
    asked = with_loss("def same(batch):\n    return batch.cross_entropy()\n", "same")
    weighted = {"class_weights": {"red": 5.0}, "label_smoothing": 0.1}
    expected, loss = gradient(*setup(**weighted), [7, 5])
    found, own_loss = gradient(*setup(path=asked.path, loss=asked.loss, **weighted), [7, 5])
    assert own_loss == loss
    torch.testing.assert_close(found, expected, rtol=0.0, atol=0.0)


def test_a_scaled_loss_does_not_depend_on_accumulation(with_loss, setup) -> None:  # noqa: F811
    asked = with_loss(FOCAL, "focal")
    trainer, rows = setup(path=asked.path, loss=asked.loss)
    whole, loss = gradient(trainer, rows, [12])
    split, split_loss = gradient(trainer, rows, [5, 5, 2])
    assert split_loss == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(split, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("padded", [False, True])
def test_states_are_mean_hidden_states_of_the_prompt(setup, padded) -> None:  # noqa: F811
    from slmcheck.training.batches import FlatPositionsCollator, PaddedCollator, feature_of
    from slmcheck.training.label_loss import learned_tokens
    from slmcheck.training.token_rows import IGNORED

    trainer, rows = setup()
    collate = PaddedCollator(0) if padded else FlatPositionsCollator()
    found = learned_tokens(trainer.model, collate([feature_of(row) for row in rows.train[:3]]), with_states=True).states
    for row, state in zip(rows.train[:3], found, strict=True):
        hidden = trainer.model(input_ids=torch.tensor([row.ids]), output_hidden_states=True).hidden_states[-1][0]
        prompt = torch.tensor(row.labels) == IGNORED
        torch.testing.assert_close(state, functional.normalize(hidden[prompt].mean(dim=0), dim=0), rtol=1e-4, atol=1e-5)


def test_a_contrastive_training_draws_equal_answers_together(with_loss, train) -> None:
    asked = with_loss(CONTRASTIVE, "ContrastiveLoss")
    run = train(path=asked.path, loss=asked.loss, max_steps=12)
    losses = [point.train_loss for point in run.points if point.train_loss is not None]
    validation = [point.validation_loss for point in run.points if point.validation_loss is not None]
    assert losses[-1] < losses[0]
    assert validation[-1] < validation[0]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "def bad(batch):\n    raise ValueError('no such thing')\n",
            r"raised ValueError: no such thing\nWhere: .*losses.py:2",
        ),
        ("def bad(batch):\n    return batch.logits\n", r"returned a tensor of shape"),
        ("def bad(batch):\n    return 3.0\n", r"returned 3.0"),
        ("def bad(batch):\n    return batch.cross_entropy().detach()\n", "without a gradient"),
        ("import no_such_library\ndef bad(batch):\n    return 0\n", "cannot be made: it raised ModuleNotFoundError"),
        (
            "import torch\nclass bad(torch.nn.Linear):\n    def __init__(self):\n        super().__init__(2, 2)\n"
            "    def forward(self, batch): ...\n",
            "has 6 weights of its own",
        ),
    ],
)
def test_a_loss_that_fails_in_training_is_one_clear_error(with_loss, train, source, message) -> None:
    asked = with_loss(source, "bad")
    with pytest.raises(RecipeError, match=message):
        train(path=asked.path, loss=asked.loss)


def test_a_loss_that_becomes_nan_is_named(with_loss, train) -> None:
    asked = with_loss("def bad(batch):\n    return batch.cross_entropy() * float('nan')\n", "bad")
    with pytest.raises(NonFiniteLossError, match=r"loss 'losses\.py:bad' became nan"):
        train(path=asked.path, loss=asked.loss)


def test_a_mean_over_the_micro_batch_is_found_before_training(with_loss, train) -> None:
    asked = with_loss("def mean(batch):\n    return batch.nll().mean()\n", "mean")
    run = train(path=asked.path, loss=asked.loss)
    events = (run.job.output_dir / "history.jsonl").read_text()
    assert "accumulation-changes-gradient" in events
