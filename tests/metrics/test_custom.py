from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from slmcheck.errors import UndefinedScoreError
from slmcheck.gates import ScoreSource
from slmcheck.metrics import Metric, MetricFunction, Statistics, accuracy, as_metric, can_read, measure, metric
from slmcheck.records import Prediction

Predict = Callable[..., list[Prediction]]


def words(predictions: Sequence[Prediction]) -> list[float]:
    """Words of the answer."""
    return [len((item.prediction or "").split()) for item in predictions]


def mean_ratio(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / sums[..., 1])


@metric(higher_is_better=False, unit="ratio", margin=0.05, margin_kind="relative", version=3, value_of_sum=mean_ratio)
def compression(predictions: Sequence[Prediction]) -> Statistics:
    table = np.array([[len(item.prediction or ""), len(item.reference)] for item in predictions], dtype=float)
    return Statistics(table, value_of_sum=mean_ratio, columns=("answer", "reference"))


def test_one_value_an_example_is_averaged(predict: Predict, source: ScoreSource) -> None:
    score = measure(as_metric(words), predict(["a b", "a b c d"], ["x", "y"]), source)
    assert float(score) == 3.0
    assert score.evidence is not None
    assert score.evidence.statistics.tolist() == [[2, 1], [4, 1]]


def test_an_undecorated_function_has_plain_attributes() -> None:
    made = as_metric(words)
    assert (made.name, made.info.higher_is_better, made.info.unit, made.cached) == ("words", True, "", False)
    assert made.description == "Words of the answer."


def test_statistics_make_ratios(predict: Predict, source: ScoreSource) -> None:
    score = measure(as_metric(compression), predict(["aa", "aaaa"], ["aaaa", "a"]), source)
    assert float(score) == 6 / 5
    assert score.metric.margin_kind == "relative"
    assert not score.metric.higher_is_better


def test_a_declared_version_is_cached_and_can_be_read(predict: Predict) -> None:
    made = as_metric(compression)
    assert made.cached
    assert made.version == 3
    assert "version:3" in made.info.signature
    assert can_read(made, ("answer", "reference"))


def test_declaring_registers_nothing_and_changes_nothing(predict: Predict) -> None:
    @metric(unit="share")
    def share(predictions: Sequence[Prediction]) -> list[float]:
        return [1.0 for _ in predictions]

    assert share(predict(["a"], ["a"])) == [1.0]
    assert as_metric(share).info.unit == "share"
    assert not as_metric(share).cached


def test_a_name_may_be_given() -> None:
    assert as_metric(metric(name="politeness")(lambda predictions: [1.0 for _ in predictions])).name == "politeness"


def test_a_metric_stays_what_it_is() -> None:
    assert as_metric(accuracy) is accuracy


def test_functions_of_one_name_in_two_places_have_two_signatures() -> None:
    def inner(predictions: Sequence[Prediction]) -> float:
        return 0.0

    first = as_metric(inner).info.signature
    assert first != as_metric(words).info.signature
    assert "test_functions_of_one_name" in first


def test_a_callable_object_is_a_metric(predict: Predict, source: ScoreSource) -> None:
    class Politeness:
        def __call__(self, predictions: Sequence[Prediction]) -> list[float]:
            return [0.5 for _ in predictions]

    made = as_metric(Politeness())
    assert made.name == "Politeness"
    assert float(measure(made, predict(["a"], ["a"]), source)) == 0.5


@pytest.mark.parametrize(
    "kind",
    [list, tuple, np.array, lambda values: np.array(values, dtype=bool)],
    ids=["list", "tuple", "array", "booleans"],
)
def test_any_sequence_of_numbers_is_taken(
    kind: Callable[[list[float]], Sequence[float]], predict: Predict, source: ScoreSource
) -> None:
    made = as_metric(lambda predictions: kind([1.0, 0.0]))
    assert float(measure(made, predict(["a", "b"], ["a", "b"]), source)) == 0.5


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda predictions: [1.0], "returned 1 values for 2 predictions"),
        (lambda predictions: Statistics(np.ones((3, 2))), "returned 3 values for 2 predictions"),
        (lambda predictions: {"accuracy": 1.0}, "returned dict: \"{'accuracy': 1.0}\""),
        (lambda predictions: None, "returned NoneType"),
        (lambda predictions: "high", "returned str"),
        (lambda predictions: [1.0, float("nan")], "hold NaN or an infinity"),
    ],
    ids=["too few", "too many", "dict", "nothing", "text", "NaN"],
)
def test_what_is_no_score_is_said(
    function: MetricFunction, expected: str, predict: Predict, source: ScoreSource
) -> None:
    with pytest.raises(UndefinedScoreError) as caught:
        measure(as_metric(function), predict(["a", "b"], ["a", "b"]), source)
    assert expected in str(caught.value)


def test_predictions_come_in_the_order_of_their_ids(predict: Predict, source: ScoreSource) -> None:
    seen: list[str] = []

    def record(predictions: Sequence[Prediction]) -> list[float]:
        seen.extend(item.id for item in predictions)
        return [0.0 for _ in predictions]

    made: Metric = as_metric(record)
    measure(made, predict(["a", "b", "c"], ["a", "b", "c"])[::-1], source)
    assert seen == ["e0000", "e0001", "e0002"]
