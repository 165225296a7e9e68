from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from slmcheck.errors import UndefinedScoreError
from slmcheck.metrics import Metric, bits_per_byte, byte_perplexity, loss, perplexity, word_perplexity
from slmcheck.records import Prediction

Value = Callable[[Metric, list[Prediction]], float]
ALL = [perplexity, word_perplexity, byte_perplexity, bits_per_byte, loss]

DOCUMENTS = [
    Prediction(id="short", prediction=None, references=("a",), nll=6.0, tokens=2, bytes=8, words=1),
    Prediction(id="long", prediction=None, references=("b",), nll=24.0, tokens=18, bytes=52, words=9),
]


def test_by_hand(value: Value) -> None:
    assert value(loss, DOCUMENTS) == 30 / 20
    assert value(perplexity, DOCUMENTS) == pytest.approx(math.exp(1.5), rel=1e-15)
    assert value(word_perplexity, DOCUMENTS) == pytest.approx(math.exp(3.0), rel=1e-15)
    assert value(byte_perplexity, DOCUMENTS) == pytest.approx(math.exp(0.5), rel=1e-15)
    assert value(bits_per_byte, DOCUMENTS) == pytest.approx(0.5 / math.log(2), rel=1e-15)


def test_the_corpus_is_the_unit_never_the_mean_of_texts(value: Value) -> None:
    mean_of_texts = (math.exp(3.0) + math.exp(24 / 18)) / 2
    assert value(perplexity, DOCUMENTS) != pytest.approx(mean_of_texts, rel=0.1)


def test_perplexity_is_the_exponential_of_the_loss(value: Value) -> None:
    assert math.log(value(perplexity, DOCUMENTS)) == pytest.approx(value(loss, DOCUMENTS), rel=1e-15)
    assert value(byte_perplexity, DOCUMENTS) == pytest.approx(2 ** value(bits_per_byte, DOCUMENTS), rel=1e-15)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_predictions_without_likelihood_are_undefined(metric: Metric, value: Value) -> None:
    with pytest.raises(UndefinedScoreError, match=r"the negative log-likelihood \(nll\) is missing in 1 of 1"):
        value(metric, [Prediction(id="1", prediction="a", references=("a",))])


def test_predictions_without_words_have_no_word_perplexity(value: Value) -> None:
    lacking = [Prediction(id="1", prediction=None, references=("a",), nll=1.0, tokens=1, bytes=1)]
    assert value(perplexity, lacking) == pytest.approx(math.e)
    with pytest.raises(UndefinedScoreError, match="the number of words is missing"):
        value(word_perplexity, lacking)


def test_references_of_no_tokens_are_undefined(value: Value) -> None:
    empty = [Prediction(id="1", prediction=None, references=("",), nll=0.0, tokens=0, bytes=0, words=0)]
    with pytest.raises(UndefinedScoreError, match="the references have no tokens"):
        value(perplexity, empty)


@pytest.mark.parametrize("nll", [math.nan, math.inf])
def test_a_likelihood_that_is_no_number_is_undefined(nll: float, value: Value) -> None:
    broken = [Prediction(id="bad", prediction=None, references=("a",), nll=nll, tokens=3)]
    with pytest.raises(UndefinedScoreError, match=r"hold NaN or an infinity \(bad\)"):
        value(perplexity, broken)


def test_a_perplexity_beyond_all_floats_is_undefined(value: Value) -> None:
    hopeless = [Prediction(id="1", prediction=None, references=("a",), nll=5000.0, tokens=1)]
    with pytest.raises(UndefinedScoreError, match="has no value"):
        value(perplexity, hopeless)
    assert value(loss, hopeless) == 5000.0


def test_perplexity_is_judged_on_the_log_scale_with_a_relative_margin() -> None:
    assert (perplexity.info.scale, perplexity.info.margin, perplexity.info.margin_kind) == ("log", 0.02, "relative")
    assert perplexity.info.seed_sd == 0.012
    assert perplexity.needs == {"nll"}
