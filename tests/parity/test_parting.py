"""Where greedy texts part is told with the reference's margin; a margin beyond rounding is a fault of the runner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slmcheck import inference
from slmcheck.backends import LanguageModel, load
from slmcheck.errors import PredictionError, UndefinedScoreError
from slmcheck.gates import ScoreSource
from slmcheck.parity import Parting, divergence, judge_partings, partings, tolerance_of
from slmcheck.records import Checkpoint, DataSpec, EvaluationSpec, Example, Prediction, Recipe

SOURCE = ScoreSource(name="run.onnx(fp32)", task="generation")
RECIPE = Recipe(
    name="s/r", base_model="b", task="generation", trainer="lora", data=DataSpec(answer="a"),
    evaluation=EvaluationSpec(max_new_tokens=12),
)  # fmt: skip


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [Example(id=f"e{size}", row={}, prompt="Q: " + "word " * size, answer="") for size in range(1, 7)]


@pytest.fixture(scope="module")
def reference(exported_model) -> LanguageModel:
    return load(Checkpoint(kind="model", path=exported_model[0], key="source"))


@pytest.fixture(scope="module")
def exported(exported_model) -> LanguageModel:
    return load(Checkpoint(kind="onnx", path=exported_model[1], key="graph"))


class Shaken:
    """A model whose next-token logits are moved by a fixed amount that differs from token to token."""

    def __init__(self, model: LanguageModel, size: float) -> None:
        self._model = model
        self._noise = np.random.default_rng(0).normal(scale=size, size=model.vocabulary_size).astype(np.float32)

    def __getattr__(self, name: str):
        return getattr(self._model, name)

    def decoder(self, *, rows: int, length: int):
        decoder, noise = self._model.decoder(rows=rows, length=length), self._noise

        class Moved:
            room = decoder.room

            def add(self, prompts):
                return decoder.add(prompts) + noise

            def step(self, tokens):
                return decoder.step(tokens) + noise

            def drop(self, row):
                decoder.drop(row)

        return Moved()


def texts(model, examples: list[Example]) -> dict[str, tuple[int, ...]]:
    """What each example's greedy text is, one at a time."""
    found = {}
    for example in examples:
        rows: list = []
        inference.predict(model, [example], kind="generate", recipe=RECIPE, on_rows=rows.extend)
        found[example.id] = rows[0].text
    return found


def test_a_right_graph_parts_nowhere(reference, exported, examples):
    assert texts(reference, examples) == texts(exported, examples)
    assert all(one.step is None for one in partings(reference, exported, examples, recipe=RECIPE))


def test_the_step_is_the_first_token_that_differs(reference, exported, examples):
    other = Shaken(exported, 1.0)
    found = partings(reference, other, examples, recipe=RECIPE)
    assert [one.example_id for one in found] == [example.id for example in examples]
    own, others = texts(reference, examples), texts(other, examples)
    assert any(own[name] != others[name] for name in own)
    for one in found:
        assert (one.step is None) == (own[one.example_id] == others[one.example_id])
        if one.step is not None:
            assert one.token != one.other_token
            assert one.margin is not None
            assert one.margin > 0
            assert one.is_rounding  # the noise itself is the difference: both are right by their logits


def test_rows_side_by_side_part_where_they_part_alone(reference, exported, examples):
    other = Shaken(exported, 1.0)
    together = partings(reference, other, examples, recipe=RECIPE)
    alone = [partings(reference, other, [example], recipe=RECIPE)[0] for example in examples]
    assert [(one.step, one.token, one.other_token) for one in together] == [
        (one.step, one.token, one.other_token) for one in alone
    ]


def test_a_margin_beyond_twice_the_difference_is_no_rounding():
    assert Parting(example_id="a", step=3, margin=0.5, difference=0.25).is_rounding
    assert not Parting(example_id="a", step=3, margin=0.51, difference=0.25).is_rounding
    assert not Parting(example_id="a", step=None).is_rounding


def test_a_parting_that_rounding_does_not_explain_fails_in_fp32():
    found = (
        Parting(example_id="a", step=3, margin=1e-5, difference=1e-5),
        Parting(example_id="b", step=1, margin=3.0, difference=1e-5),
    )
    (check,) = judge_partings(found, tolerance_of("fp32"))
    assert (check.value, check.passed) == (1.0, False)
    assert judge_partings(found[:1], tolerance_of("fp32"))[0].passed
    assert judge_partings(found, tolerance_of("int8")) == ()


def test_numbers_that_are_none_are_named(reference, exported, examples):
    with pytest.raises(PredictionError, match="not numbers"):
        partings(reference, Shaken(exported, float("nan")), examples[:1], recipe=RECIPE)


def predictions(written: list[str]) -> list[Prediction]:
    return [Prediction(id=str(place), prediction=text, references=()) for place, text in enumerate(written)]


def test_divergence_is_the_share_of_texts_that_part():
    found = divergence(predictions(["a", "b", "c", "d"]), predictions(["a", "b", "x", "d"]), SOURCE)
    assert (float(found), found.n, found.metric.higher_is_better) == (0.25, 4, False)


def test_divergence_of_none_has_an_interval_above_zero():
    found = divergence(predictions(["a"] * 200), predictions(["a"] * 200), SOURCE)
    assert found.interval is not None
    assert 0.01 < found.interval[1] < 0.02


def test_divergence_of_other_examples_is_undefined():
    with pytest.raises(UndefinedScoreError, match="other examples"):
        divergence(predictions(["a"]), [], SOURCE)
    with pytest.raises(UndefinedScoreError, match="other examples"):
        divergence(predictions(["a"]), [replace(predictions(["a"])[0], id="z")], SOURCE)
