"""Logits that a graph makes while it answers are those of a comparison of its own."""

from __future__ import annotations

import numpy as np
import pytest

from slmcheck import inference
from slmcheck.backends import LanguageModel, TokenTree, load
from slmcheck.gates import ScoreSource
from slmcheck.inference.options import option_tree
from slmcheck.parity import LOGIT_SCORES, Watched, compare, score
from slmcheck.parity.watching import nodes_of
from slmcheck.records import Checkpoint, DataSpec, Example, Recipe

SOURCE = ScoreSource(name="run.onnx(int8)", task="classification")
RECIPE = Recipe(name="s/r", base_model="b", task="classification", trainer="lora", data=DataSpec(answer="a"))
OPTIONS = ("good", "bad", "badly made")


@pytest.fixture(scope="module")
def reference(exported_model) -> LanguageModel:
    return load(Checkpoint(kind="model", path=exported_model[0], key="source"))


@pytest.fixture(scope="module")
def exported(exported_model) -> LanguageModel:
    return load(Checkpoint(kind="onnx", path=exported_model[1], key="graph"))


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [
        Example(
            id=f"e{place}", row={}, prompt=f"Q: {'word ' * (place % 5)}{place}\nA: ", answer=OPTIONS[place % 3],
            options=OPTIONS, option_texts=OPTIONS, references=(OPTIONS[place % 3],),
        )
        for place in range(12)
    ]  # fmt: skip


class Scaled:
    """A graph whose logits are a little off, so that there is something to compare."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    def __getattr__(self, name: str):
        return getattr(self._model, name)

    def logits(self, batch):
        return [values * np.float32(1.01) for values in self._model.logits(batch)]

    def log_probabilities_and_logits(self, trees):
        values, logits = self._model.log_probabilities_and_logits(trees)
        return values, [one * np.float32(1.01) for one in logits]


def test_scores_equal_those_of_a_pass_of_its_own(reference, exported, examples):
    other, rows = Scaled(exported), []
    watched = Watched(reference, other, examples, recipe=RECIPE)
    inference.predict(other, examples, kind="options", recipe=RECIPE, on_rows=rows.extend, ask=watched.ask)
    assert len(rows) == len(watched.found) == len(examples)
    once = compare(reference, other, examples, recipe=RECIPE, known=watched.found)
    twice = compare(reference, other, examples, recipe=RECIPE)
    for name in LOGIT_SCORES:
        assert float(score(name, once, SOURCE)) == pytest.approx(float(score(name, twice, SOURCE)), rel=1e-3), name
    assert once.tokens == twice.tokens


def test_answers_are_those_of_an_ordinary_prediction(reference, exported, examples):
    watched, rows, plain = Watched(reference, exported, examples, recipe=RECIPE), [], []
    inference.predict(exported, examples, kind="options", recipe=RECIPE, on_rows=rows.extend, ask=watched.ask)
    inference.predict(exported, examples, kind="options", recipe=RECIPE, on_rows=plain.extend)
    assert sorted(rows, key=lambda row: row.row) == sorted(plain, key=lambda row: row.row)


def test_logits_at_nodes_are_those_of_plain_rows(exported, examples):
    from slmcheck.backends import PaddedBatch

    trees = [option_tree(exported, example, RECIPE).tree for example in examples[:4]]
    values, logits = exported.log_probabilities_and_logits(trees)
    for tree, answers, own in zip(trees, values, logits, strict=True):
        np.testing.assert_allclose(answers, exported.log_probabilities([tree])[0], atol=1e-5)
        for node in range(len(tree.tokens)):
            path = tree.path(node)
            (row,) = exported.logits(PaddedBatch.of([tree.tokens[path].tolist()], pad_id=0, pad_left=False))
            np.testing.assert_allclose(own[path], row, atol=1e-4)


def test_a_path_that_a_tree_does_not_hold_is_none():
    tree = TokenTree(
        tokens=np.asarray([1, 5, 6, 7]), parents=np.asarray([-1, 0, 0, 2]), asked=np.asarray([1]),
        targets=np.asarray([2]),
    )  # fmt: skip
    assert nodes_of(tree, [1, 6, 7]) == [0, 2, 3]
    assert nodes_of(tree, [1, 5]) == [0, 1]
    assert nodes_of(tree, [1, 7]) is None
    assert nodes_of(tree, [2]) is None
