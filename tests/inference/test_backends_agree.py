"""An exported graph answers as the checkpoint it was made from, in every kind of prediction."""

from __future__ import annotations

import numpy as np
import pytest

from slmcheck.backends import LanguageModel, load
from slmcheck.records import Checkpoint, Example


@pytest.fixture(scope="module")
def models(exported_model) -> tuple[LanguageModel, LanguageModel]:
    folder, graph = exported_model
    return (
        load(Checkpoint(kind="model", path=folder, key="k")),
        load(Checkpoint(kind="onnx", path=graph, key="g"), threads=2),
    )


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    labels = ("good", "bad", "so so", "so")
    return [
        Example(
            id=str(index), row={}, prompt=f"{'word ' * (index % 7)}number {index}:", answer=" so so",
            options=labels, option_texts=tuple(f" {label}" for label in labels),
        )
        for index in range(20)
    ]  # fmt: skip


def test_options(models, examples, recipe, ask):
    expected, found = (ask(model, examples, "options", recipe("classification")) for model in models)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.option_scores, other.option_scores, atol=1e-4)
    assert [row.text for row in found] == [row.text for row in expected]


def test_likelihoods(models, examples, recipe, ask):
    expected, found = (ask(model, examples, "nll", recipe("generation")) for model in models)
    assert [row.nll for row in found] == pytest.approx([row.nll for row in expected], abs=1e-3)
    assert [row.tokens for row in found] == [row.tokens for row in expected]


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_texts(models, examples, recipe, ask, temperature):
    settings = recipe("generation", max_new_tokens=12, temperature=temperature)
    expected, found = (ask(model, examples, "generate", settings) for model in models)
    assert found == expected
