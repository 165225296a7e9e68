"""A real model fine-tuned on real data, exported: what fp32 must keep, and what a batch must not change."""

from __future__ import annotations

import numpy as np
import pytest

from slmcheck import Run
from slmcheck.backends import PaddedBatch, load
from slmcheck.data.encoding import encode
from tests.real.conftest import OpenRun

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.long]
INVARIANT = ("fp32", "fp16", "int8", "int4")
"""Precisions whose answer to a row does not depend on the rows beside it."""
LENGTH, ROWS, PADDING = 96, 40, 32


@pytest.fixture
def spam(open_real: OpenRun) -> Run:
    return open_real("sms_spam/lora")


@pytest.fixture
def writer(open_real: OpenRun) -> Run:
    return open_real("e2e_nlg/lora")


def test_answers_of_fp32_are_all_the_same(spam: Run) -> None:
    agreement = spam.onnx("fp32").agreement
    assert (float(agreement), agreement.n) == (1.0, 1000)
    assert agreement.at_least(0.99, confidence=0.95)


@pytest.mark.parametrize("name", ["spam", "writer"])
def test_logits_of_fp32_are_within_rounding(name: str, request: pytest.FixtureRequest) -> None:
    view = request.getfixturevalue(name).onnx("fp32")
    assert float(view.logit_max) < 1e-4
    assert float(view.merged.logit_max) < 1e-3
    assert view.judgement, view.judgement


def test_greedy_texts_of_fp32_are_the_same(writer: Run) -> None:
    view = writer.onnx("fp32")
    assert view.divergence.n == 200
    assert all(parting.is_rounding for parting in view.partings), view.partings
    assert float(view.divergence) * 200 == len(view.partings)
    assert float(view.agreement) + float(view.divergence) == pytest.approx(1.0)


@pytest.mark.parametrize("precision", ["fp16", "int8", "int4"])
def test_the_default_tolerances_hold(spam: Run, precision: str) -> None:
    view = spam.onnx(precision)
    assert view.judgement, view.judgement
    assert view.equivalent("accuracy", margin=0.02)


def test_the_cost_of_a_precision_is_ordered(writer: Run) -> None:
    kl = [float(writer.onnx(precision).kl) for precision in ("fp32", "fp16", "int8", "int4")]
    assert kl == sorted(kl)
    assert float(writer.onnx("int8").perplexity_ratio) < 1.01
    assert 0 < float(writer.onnx("int4").divergence) <= 1


@pytest.mark.parametrize("precision", INVARIANT)
def test_batch_and_padding_change_nothing(writer: Run, precision: str) -> None:
    model = load(writer.onnx(precision).checkpoint)
    encoded = [encode(example, model.tokenizer, recipe=writer.recipe).ids for example in writer.examples()]
    rows = [ids[:LENGTH] for ids in encoded if len(ids) >= LENGTH][:ROWS]
    assert len(rows) == ROWS

    def asked(size: int, *, pad_left: bool = False, padding: int = 0) -> np.ndarray:
        batches = [rows[start : start + size] for start in range(0, ROWS, size)]
        found = [model.logits(PaddedBatch.of(b, pad_id=0, pad_left=pad_left, padding=padding)) for b in batches]
        return np.stack([row for batch in found for row in batch])

    alone = asked(1)
    for other in (asked(ROWS), asked(7), asked(ROWS, padding=PADDING), asked(ROWS, pad_left=True, padding=PADDING)):
        np.testing.assert_allclose(other, alone, rtol=0, atol=1e-5)
