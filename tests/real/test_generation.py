"""Meaning representations become sentences that several wordings of people are compared with."""

from __future__ import annotations

from statistics import fmean

import pytest

from slmcheck import Run
from tests.real.conftest import OpenRun
from tests.real.direct import by_rouge_score, by_sacrebleu
from tests.real.learning import validation_losses

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def writer(open_real: OpenRun) -> Run:
    return open_real("e2e_nlg/lora")


def test_the_validation_loss_falls(writer: Run) -> None:
    losses = validation_losses(writer)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]


def test_rows_have_references_of_several_wordings(writer: Run) -> None:
    counts = {len(item.references) for item in writer.predictions()}
    assert len(writer.predictions()) == 200
    assert min(counts) < 5 < max(counts)


def test_it_beats_the_base_model(writer: Run) -> None:
    assert writer.bleu.better_than(writer.base.bleu, by=5.0, confidence=0.95)
    assert writer.chrf.better_than(writer.base.chrf, by=5.0, confidence=0.95)
    assert writer.rougeL.better_than(writer.base.rougeL, by=0.1, confidence=0.95)
    assert writer.perplexity.better_than(writer.base.perplexity, confidence=0.95)


@pytest.mark.parametrize(("metric", "name"), [("bleu", "BLEU"), ("chrf", "CHRF")])
def test_corpus_scores_are_those_of_sacrebleu_to_the_last_digit(writer: Run, metric: str, name: str) -> None:
    assert float(writer.measure(metric)) == by_sacrebleu(name, writer.predictions())
    assert float(writer.base.measure(metric)) == by_sacrebleu(name, writer.base.predictions())


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_overlaps_are_those_of_rouge_score_to_the_last_digit(writer: Run, name: str) -> None:
    for view in (writer, writer.base):
        expected = by_rouge_score(name, view.predictions())
        score = view.measure(name)
        assert score.evidence is not None
        rows = dict(zip(score.evidence.example_ids, score.evidence.statistics[:, 0].tolist(), strict=True))
        assert rows == expected
        # rouge-score has no mean of its own: rows agree exactly, sums of them to the rounding of their order.
        assert float(score) == pytest.approx(fmean(expected.values()), rel=1e-14)


def test_a_second_opening_trains_and_predicts_nothing(writer: Run, reopened: OpenRun) -> None:
    names = ("bleu", "rougeL", "perplexity")
    first = [(float(writer.measure(name)), float(writer.base.measure(name))) for name in names]
    again = reopened(writer.recipe.name)
    assert again.record.created == writer.record.created
    assert [(float(again.measure(name)), float(again.base.measure(name))) for name in names] == first
    assert again.predictions() == writer.predictions()
