from __future__ import annotations

from collections.abc import Callable

import pytest

from slmcheck.errors import UndefinedScoreError
from slmcheck.metrics import Metric, slot_exact_match, slot_f1, slot_precision, slot_recall, unparsable_json
from slmcheck.metrics.extraction import slots_of
from slmcheck.records import Prediction

Predict = Callable[..., list[Prediction]]
RealRows = Callable[[str], list[dict[str, str]]]
Value = Callable[[Metric, list[Prediction]], float]


def test_by_hand(predict: Predict, value: Value) -> None:
    predictions = predict(
        ['{"time": "13:00", "people": "2"}', '{"time": "14:00"}', "{}", "time: 15:00"],
        ['{"people": "2", "time": "13:30"}', '{"time": "14:00"}', '{"date": "today"}', '{"time": "15:00"}'],
    )
    # Hits 2 of 3 predicted and 5 expected.
    assert value(slot_precision, predictions) == 2 / 3
    assert value(slot_recall, predictions) == 2 / 5
    assert value(slot_f1, predictions) == 2 * 2 / (3 + 5)
    assert value(slot_exact_match, predictions) == 1 / 4
    assert value(unparsable_json, predictions) == 1 / 4


def test_rows_without_slots_count_what_is_made_up(predict: Predict, value: Value) -> None:
    predictions = predict(['{"time": "1"}', "{}", '{"time": "1"}'], ["{}", "{}", '{"time": "1"}'])
    assert value(slot_precision, predictions) == 0.5
    assert value(slot_recall, predictions) == 1.0
    assert value(slot_exact_match, predictions) == 2 / 3


def test_the_best_reference_counts(predict: Predict, value: Value) -> None:
    predictions = predict(['{"time": "1 pm"}'], [['{"time": "13:00"}', '{"time": "1 pm"}']])
    assert value(slot_f1, predictions) == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": " x "}', {("a", "x"): 1}),
        ('{"a": ["x", "y", "x"]}', {("a", "x"): 2, ("a", "y"): 1}),
        ('{"a": {"b": 1, "c": true}}', {("a.b", "1"): 1, ("a.c", "true"): 1}),
        ('{"a": null, "b": []}', {}),
        ('{"a": "1"}', {("a", "1"): 1}),
        ("{}", {}),
        ("[]", None),
        ('"a"', None),
        ("", None),
        ("{'a': 1}", None),
        ("[" * 100_000, None),
    ],
)
def test_slots_of_an_answer(text: str, expected: dict[tuple[str, str], int] | None) -> None:
    found = slots_of(text)
    assert (dict(found) if found is not None else None) == expected


def test_a_reference_that_is_no_object_is_undefined(predict: Predict, value: Value) -> None:
    with pytest.raises(UndefinedScoreError, match="The reference of example e0000 is no JSON object: 'time 13'"):
        value(slot_f1, predict(["{}"], ["time 13"]))


def test_references_without_any_slot_are_undefined(predict: Predict, value: Value) -> None:
    with pytest.raises(UndefinedScoreError, match="no reference has a slot"):
        value(slot_f1, predict(["{}"], ["{}"]))


@pytest.mark.real
def test_real_slots_read_back(real_rows: RealRows, value: Value) -> None:
    rows = real_rows("restaurant8k")
    predictions = [
        Prediction(id=str(number), prediction=row["target"], references=(row["target"],))
        for number, row in enumerate(rows)
    ]
    assert value(slot_f1, predictions) == 1.0
    assert value(unparsable_json, predictions) == 0.0
