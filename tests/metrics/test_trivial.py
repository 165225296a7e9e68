from __future__ import annotations

from collections.abc import Callable

import pytest

from slmcheck.errors import UndefinedScoreError
from slmcheck.metrics import Metric, accuracy, brier, majority, mcc
from slmcheck.records import Example, Prediction

Value = Callable[[Metric, tuple[Prediction, ...]], float]


def examples(*references: str) -> list[Example]:
    return [
        Example(id=f"e{number}", row={}, references=(reference,), options=("ham", "spam"), group="g", slices=("short",))
        for number, reference in enumerate(references)
    ]


def test_the_most_frequent_training_answer_is_always_given(value: Value) -> None:
    predictions = majority(examples("ham", "ham", "spam"), examples("spam", "ham", "spam", "spam"))
    assert {item.prediction for item in predictions} == {"ham"}
    assert value(accuracy, predictions) == 0.25
    assert value(mcc, predictions) == 0.0


def test_probabilities_are_the_shares_in_training(value: Value) -> None:
    predictions = majority(examples("ham", "ham", "ham", "spam"), examples("spam"))
    assert predictions[0].option_probabilities == (0.75, 0.25)
    assert value(brier, predictions) == 0.75**2


def test_of_equally_frequent_answers_the_first_by_alphabet_is_given() -> None:
    assert majority(examples("spam", "ham"), examples("spam"))[0].prediction == "ham"


def test_examples_keep_their_ids_groups_and_slices() -> None:
    [prediction] = majority(examples("ham"), examples("spam"))
    assert (prediction.id, prediction.references, prediction.group, prediction.slices) == (
        "e0",
        ("spam",),
        "g",
        ("short",),
    )


def test_without_training_answers_it_is_undefined() -> None:
    with pytest.raises(UndefinedScoreError, match="no training row has a reference"):
        majority([], examples("ham"))
