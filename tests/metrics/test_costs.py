from __future__ import annotations

from collections.abc import Callable

import pytest

from slmcheck.errors import UndefinedScoreError
from slmcheck.metrics import Metric, cost
from slmcheck.records import Prediction

Predict = Callable[..., list[Prediction]]
Value = Callable[[Metric, list[Prediction]], float]
TABLE = {"complaint": {"praise": 20.0, "question": 5.0}, "praise": {"complaint": 1.0}}


def test_the_mean_cost_of_the_answers(predict: Predict, value: Value) -> None:
    predictions = predict(
        ["praise", "complaint", "complaint", "praise"], ["complaint", "complaint", "praise", "praise"]
    )
    assert value(cost(TABLE), predictions) == (20 + 0 + 1 + 0) / 4


def test_a_right_answer_may_cost_too(predict: Predict, value: Value) -> None:
    predictions = predict(["complaint"], ["complaint"])
    assert value(cost({"complaint": {"complaint": 2.0}}), predictions) == 2.0


def test_an_unparsable_answer_costs_what_is_said(predict: Predict, value: Value) -> None:
    predictions = predict([None, "??", "praise"], ["praise"] * 3, options=("complaint", "praise"))
    assert value(cost(TABLE, unparsable=3.0), predictions) == 2.0
    with pytest.raises(UndefinedScoreError, match=r"cost\(\.\.\., unparsable=\.\.\.\)"):
        value(cost(TABLE), predictions)


def test_a_mistake_that_is_not_in_the_table_is_an_error(predict: Predict, value: Value) -> None:
    predictions = predict(["question"], ["praise"], options=("complaint", "praise", "question"))
    with pytest.raises(UndefinedScoreError, match=r"Add it: matrix\['praise'\]\['question'\]"):
        value(cost(TABLE), predictions)


def test_another_table_is_another_signature() -> None:
    other = {"complaint": {"praise": 21.0, "question": 5.0}, "praise": {"complaint": 1.0}}
    reordered = {"praise": {"complaint": 1}, "complaint": {"question": 5, "praise": 20}}
    assert cost(TABLE).info.signature != cost(other).info.signature
    assert cost(TABLE).info.signature == cost(reordered).info.signature
    assert not cost(TABLE).info.higher_is_better
