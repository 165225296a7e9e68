from __future__ import annotations

import random

import pytest
import torch
from transformers import AutoModelForCausalLM

from slmcheck.training.batches import FlatCollator, feature_of
from slmcheck.training.engine import choose_engine
from slmcheck.training.label_loss import learned_tokens
from slmcheck.training.token_rows import IGNORED, TokenRow

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


def rows() -> list[TokenRow]:
    draw = random.Random(0)
    found = []
    for index, length in enumerate((20, 33, 12, 25)):
        ids = (1, *(draw.randrange(4, 250) for _ in range(length - 1)))
        found.append(TokenRow(index, ids, (IGNORED,) * (length // 2) + ids[length // 2 :]))
    return found


def engine_of(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, choose_engine(model, rows(), pad_id=0, device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("model_type", "config", "begins"),
    [
        ("llama", {"num_key_value_heads": 2}, "flat batches, attention by rows"),
        ("gpt2", {}, "flat batches, attention by rows"),
        (
            "mistral",
            {"num_key_value_heads": 2, "sliding_window": 8},
            "flat batches, rows told apart by their positions",
        ),
        ("gemma2", {"num_key_value_heads": 2, "head_dim": 8}, "flat batches, rows told apart"),
        ("bloom", {}, "padded batches"),
        ("mamba", {}, "padded batches"),
    ],
)
def test_rows_never_see_each_other(random_model, model_type, config, begins) -> None:
    model, engine = engine_of(random_model(model_type, **config))
    assert engine.name.startswith(begins)
    together = learned_tokens(model.eval(), engine.collate([feature_of(row) for row in rows()])).nll()
    alone = [learned_tokens(model, engine.collate([feature_of(row)])).nll() for row in rows()]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-4)


def test_the_engine_says_what_was_tried_and_why_it_was_not_used(random_model) -> None:
    _, engine = engine_of(random_model("mistral", num_key_value_heads=2, sliding_window=8))
    assert "longer than the sliding window of 8 tokens" in engine.name


def test_flat_batches_on_a_model_that_mixes_rows_would_be_wrong(random_model) -> None:
    """The fault that the probe is for."""
    model = AutoModelForCausalLM.from_pretrained(random_model("bloom")).eval()
    flat = learned_tokens(model, FlatCollator()([feature_of(row) for row in rows()])).nll()
    alone = [learned_tokens(model, FlatCollator()([feature_of(row)])).nll() for row in rows()]
    assert float((flat - torch.cat(alone)).abs().max()) > 1e-3


def test_one_row_is_enough_to_choose(random_model) -> None:
    model = AutoModelForCausalLM.from_pretrained(random_model("llama", num_key_value_heads=2), dtype=torch.float32)
    assert not choose_engine(model, rows()[:1], pad_id=0, device=torch.device("cpu")).padded
