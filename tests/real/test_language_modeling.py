"""Plays are modelled better than by the base model, and perplexity is what a plain loop over documents gives."""

from __future__ import annotations

import pytest

from slmcheck import Run
from tests.real.conftest import OpenRun
from tests.real.direct import perplexity_by_transformers, texts_of
from tests.real.learning import validation_losses

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def reader(open_real: OpenRun) -> Run:
    return open_real("tinyshakespeare/lora")


def test_the_validation_loss_falls(reader: Run) -> None:
    losses = validation_losses(reader)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.8 * losses[0]


def test_it_beats_the_base_model(reader: Run) -> None:
    assert reader.perplexity.better_than(reader.base.perplexity, by=0.1, confidence=0.95)
    assert reader.bits_per_byte.better_than(reader.base.bits_per_byte, by=0.1, confidence=0.95)


def test_documents_are_longer_than_the_context_too(reader: Run) -> None:
    tokens = [item.tokens or 0 for item in reader.predictions()]
    assert min(tokens) < 512 < max(tokens)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks transformers 5 for it
def test_perplexity_is_that_of_single_documents_in_transformers(reader: Run) -> None:
    predictions = reader.predictions()
    losses, perplexity = perplexity_by_transformers(reader.checkpoint, texts_of(predictions))
    assert [item.nll for item in predictions] == pytest.approx(losses, rel=1e-5)
    assert float(reader.perplexity) == pytest.approx(perplexity, rel=1e-5)


def test_perplexity_of_the_base_model_is_that_of_transformers(reader: Run) -> None:
    predictions = reader.base.predictions()
    checkpoint = reader.base.subject.checkpoints[0]
    losses, perplexity = perplexity_by_transformers(checkpoint, texts_of(predictions))
    assert [item.nll for item in predictions] == pytest.approx(losses, rel=1e-5)
    assert float(reader.base.perplexity) == pytest.approx(perplexity, rel=1e-5)


def test_a_second_opening_trains_and_predicts_nothing(reader: Run, reopened: OpenRun) -> None:
    first = (float(reader.perplexity), float(reader.base.perplexity))
    again = reopened(reader.recipe.name)
    assert again.record.created == reader.record.created
    assert (float(again.perplexity), float(again.base.perplexity)) == first
    assert again.predictions() == reader.predictions()
