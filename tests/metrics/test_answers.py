from __future__ import annotations

from collections.abc import Callable

import pytest

from slmcheck.errors import UndefinedScoreError
from slmcheck.metrics import Metric, exact_match, exact_match_score, token_f1
from slmcheck.metrics.answers import squad_normalised, token_overlap
from slmcheck.records import Prediction

Predict = Callable[..., list[Prediction]]
Value = Callable[[Metric, list[Prediction]], float]


def test_exact_match_ignores_white_space_around(predict: Predict, value: Value) -> None:
    predictions = predict([" Paris\n", "paris", "London", None], ["Paris"] * 4)
    assert value(exact_match, predictions) == 0.25


def test_any_reference_is_a_match(predict: Predict, value: Value) -> None:
    assert value(exact_match, predict(["NYC", "Rome"], [["New York", "NYC"], ["Roma"]])) == 0.5


def test_normalised_exact_match_ignores_case_punctuation_and_articles(predict: Predict, value: Value) -> None:
    predictions = predict(["The Eiffel  Tower!", "eiffel"], ["eiffel tower", "an Eiffel."])
    assert value(exact_match_score(normalise=True), predictions) == 1.0
    assert value(exact_match, predictions) == 0.0


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("the cat sat", "a cat sat down", 2 * 2 / (2 + 3)),
        ("cat cat", "cat", 2 * 1 / (2 + 1)),
        ("dog", "cat", 0.0),
        ("", "", 1.0),
        ("", "cat", 0.0),
        ("The!", "cat", 0.0),
        ("a", "the", 1.0),
    ],
)
def test_token_overlap_by_hand(answer: str, reference: str, expected: float) -> None:
    assert token_overlap(answer, reference) == expected


def test_token_f1_takes_the_best_reference_and_the_mean_over_rows(predict: Predict, value: Value) -> None:
    predictions = predict(["cat sat", None], [["dog", "cat"], "cat"])
    assert value(token_f1, predictions) == (2 / 3 + 0) / 2


def test_normalisation_is_that_of_squad() -> None:
    assert squad_normalised("The  U.S. is an un-tidy\tplace, a Lot") == "us is untidy place lot"


def test_a_row_without_a_reference_is_undefined(predict: Predict, value: Value) -> None:
    with pytest.raises(UndefinedScoreError, match="exact_match is undefined: a reference is missing"):
        value(exact_match, predict(["a"], [[]]))
