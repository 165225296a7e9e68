from __future__ import annotations

from collections.abc import Callable

import pytest

from slmcheck.errors import UndefinedScoreError
from slmcheck.metrics import Metric, agreement
from slmcheck.records import Prediction

Predict = Callable[..., list[Prediction]]
Value = Callable[[Metric, list[Prediction]], float]


def test_the_share_of_equal_answers(predict: Predict, value: Value) -> None:
    trusted = predict(["a", "b", "c", None], ["a"] * 4)
    exported = predict(["a", "b ", "x", None], ["z"] * 4)
    assert value(agreement(trusted), exported) == 0.75


def test_the_order_of_the_other_answers_is_nothing(predict: Predict, value: Value) -> None:
    trusted = predict(["a", "b"], ["a", "b"])
    assert value(agreement(trusted[::-1]), trusted) == 1.0


def test_an_example_that_the_other_model_lacks_is_undefined(predict: Predict, value: Value) -> None:
    with pytest.raises(UndefinedScoreError, match="the other model's answer is missing in 1 of 2"):
        value(agreement(predict(["a"], ["a"])), predict(["a", "b"], ["a", "b"]))


def test_it_is_judged_by_an_exact_interval() -> None:
    assert agreement([]).info.interval == "clopper_pearson"
