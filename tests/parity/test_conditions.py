"""A sample asked alone, together, padded, long and token by token; each condition sees the fault that only it shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slmcheck.backends import LanguageModel, PaddedBatch, load
from slmcheck.parity import CONDITIONS, Condition, check_conditions, judge_conditions, tolerance_of
from slmcheck.records import Checkpoint, DataSpec, Example, Recipe

RECIPE = Recipe(name="s/r", base_model="b", task="generation", trainer="lora", data=DataSpec(answer="a"))
FP32 = tolerance_of("fp32")


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [Example(id=f"e{size}", row={}, prompt="Q: " + "word " * size, answer=" A" * 5) for size in range(1, 21)]


@pytest.fixture(scope="module")
def reference(exported_model) -> LanguageModel:
    return load(Checkpoint(kind="model", path=exported_model[0], key="source"))


@pytest.fixture(scope="module")
def exported(exported_model) -> LanguageModel:
    return load(Checkpoint(kind="onnx", path=exported_model[1], key="graph"))


class Wrapped:
    """A model of which a test overrides one method."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    def __getattr__(self, name: str):
        return getattr(self._model, name)


def failed(found: tuple[Condition, ...]) -> set[str]:
    return {check.name.split()[0] for check in judge_conditions(found, FP32) if not check.passed}


def test_a_right_export_is_right_under_every_condition(reference, exported, examples):
    found = check_conditions(reference, exported, examples, recipe=RECIPE)
    assert [one.name for one in found] == list(CONDITIONS)
    assert all(one.skipped is None and one.rows > 3 for one in found)
    assert failed(found) == set()
    assert max(one.logit_max for one in found) < 3e-5
    padding = {one.name: one.padding for one in found}
    assert padding["left-padded"] == padding["right-padded"] > padding["batched"] > padding["alone"] == 0


def test_a_mask_that_is_ignored_is_seen_by_padding_on_the_left_only(reference, exported, examples):
    class Unmasked(Wrapped):
        def logits(self, batch: PaddedBatch) -> list[np.ndarray]:
            whole = PaddedBatch(ids=batch.ids, mask=np.ones_like(batch.mask), positions=batch.positions)
            values = self._model.logits(whole)
            return [row[mask.astype(bool)] for row, mask in zip(values, batch.mask, strict=True)]

    assert failed(check_conditions(reference, Unmasked(exported), examples, recipe=RECIPE)) == {"left-padded"}


def test_positions_of_decoding_that_are_one_too_far_are_seen_token_by_token(reference, exported, examples):
    class Ahead(Wrapped):
        def decoder(self, *, rows: int, length: int):
            decoder = self._model.decoder(rows=rows, length=length)
            run = decoder._model.run
            wrapped = Wrapped(decoder._model)
            wrapped.run = lambda ids, mask, positions, past: run(ids, mask, positions + (ids.shape[1] == 1), past)
            decoder._model = wrapped
            return decoder

    assert failed(check_conditions(reference, Ahead(exported), examples, recipe=RECIPE)) == {"decode"}


def test_a_model_that_is_wrong_in_long_texts_is_seen_by_the_longest(reference, exported, examples):
    longest = 1 + len(examples[-1].prompt) + len(examples[-1].answer) + 1

    class Short(Wrapped):
        def logits(self, batch: PaddedBatch) -> list[np.ndarray]:
            return [
                values + 0.1 * (len(values) == longest) * np.arange(260, dtype=np.float32)
                for values in self._model.logits(batch)
            ]

    assert {"alone", "longest"} == failed(check_conditions(reference, Short(exported), examples, recipe=RECIPE))


def test_a_row_that_depends_on_its_neighbours_has_moved(reference, exported, examples):
    class Coupled(Wrapped):
        def logits(self, batch: PaddedBatch) -> list[np.ndarray]:
            values = self._model.logits(batch)
            return values if len(values) == 1 else [row * np.float32(1.001) for row in values]

    found = check_conditions(reference, Coupled(exported), examples, recipe=RECIPE)
    moved = {one.name: one.moved for one in found}
    assert moved["alone"] is None
    assert min(moved[name] for name in ("batched", "right-padded", "left-padded", "longest")) > 1e-4


def test_a_graph_that_takes_padding_on_the_right_only_is_not_asked_otherwise(reference, exported, examples):
    class Right(Wrapped):
        pads_left = False

    found = {one.name: one for one in check_conditions(reference, Right(exported), examples, recipe=RECIPE)}
    assert found["left-padded"].skipped is not None
    assert "right only" in found["left-padded"].skipped
    assert [check.name for check in judge_conditions((found["left-padded"],), FP32)] == []


def test_a_single_row_is_enough(reference, exported, examples):
    found = check_conditions(reference, exported, examples[:1], recipe=RECIPE)
    assert failed(found) == set()


def test_rows_shorter_than_the_steps_are_decoded_as_far_as_they_go(reference, exported):
    short = [Example(id=f"e{index}", row={}, prompt="Q", answer="A") for index in range(3)]
    found = {one.name: one for one in check_conditions(reference, exported, short, recipe=RECIPE)}
    assert found["decode"].tokens == 3 * 4
    assert failed(tuple(found.values())) == set()


def test_numbers_that_are_none_fail():
    broken = Condition(name="alone", rows=1, tokens=1, logit_max=float("nan"), kl=float("nan"))
    assert not any(check.passed for check in judge_conditions((broken,), FP32))
    assert all(check.passed for check in judge_conditions((replace(broken, logit_max=0.0, kl=0.0),), FP32))
