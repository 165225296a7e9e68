"""Metrics of answers that are slots with values, written as a JSON object.

A slot is a key with a value; a list holds several values of its key, an inner object is flattened to `outer.inner`. A
value is compared as text without surrounding white space. An answer that is no JSON object is unparsable: it has no
slot, so all slots of its reference are missed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from slmcheck.errors import UndefinedScoreError
from slmcheck.gates import MetricInfo
from slmcheck.metrics.definition import (
    GENERATED,
    Array,
    Metric,
    Statistics,
    ValueOfSum,
    mean_of_sum,
    mean_statistics,
    share_of_unusable,
    with_references,
)
from slmcheck.records import Json, Prediction

Slots = Counter[tuple[str, str]]
_COLUMNS = ("hits", "predicted", "expected")


def slots_of(text: str) -> Slots | None:
    """The slots of an answer; None where it is no JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return Counter(_flattened("", value))


def _flattened(name: str, value: Json) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [slot for key, item in value.items() for slot in _flattened(f"{name}.{key}" if name else key, item)]
    if isinstance(value, list):
        return [slot for item in value for slot in _flattened(name, item)]
    if value is None:
        return []  # a slot without a value is no slot
    return [(name, value.strip() if isinstance(value, str) else json.dumps(value))]


def _counts(item: Prediction) -> tuple[int, int, int]:
    """Hits, predicted and expected slots of a row, against the reference with the highest F1."""
    given = slots_of(item.prediction or "") or Counter()
    best: tuple[int, int, int] | None = None
    for reference in item.references:
        expected = slots_of(reference)
        if expected is None:
            raise UndefinedScoreError(
                f"The reference of example {item.id} is no JSON object: {reference[:80]!r}.\n"
                'An extraction needs references such as {"time": "13:00"}, {} where there is no slot.'
            )
        found = ((given & expected).total(), given.total(), expected.total())
        if best is None or _f1_of(found) > _f1_of(best):
            best = found
    assert best is not None  # rows without references were refused
    return best


def _f1_of(counts: tuple[int, int, int]) -> float:
    hits, predicted, expected = counts
    return 2.0 * hits / (predicted + expected) if predicted + expected else 1.0


def _micro(what: Literal["precision", "recall", "f1"]) -> ValueOfSum:
    def value(sums: Array) -> Array:
        hits, predicted, expected = sums[..., 0], sums[..., 1], sums[..., 2]
        numerator = 2.0 * hits if what == "f1" else hits
        denominator = {"precision": predicted, "recall": expected, "f1": predicted + expected}[what]
        positive = denominator > 0
        return np.where(positive, numerator / np.where(positive, denominator, 1.0), 0.0)

    return value


def _slot_metric(what: Literal["precision", "recall", "f1"]) -> Metric:
    function = _micro(what)

    def statistics(predictions: Sequence[Prediction]) -> Statistics:
        with_references(what, predictions)
        table = np.array([_counts(item) for item in predictions], dtype=np.float64)
        if not table[:, 2].any():
            raise UndefinedScoreError(f"{what} of slots is undefined: no reference has a slot.")
        return Statistics(table, value_of_sum=function, columns=_COLUMNS)

    return Metric(
        info=MetricInfo(
            name=what, unit="share", scale="logit", signature=f"slot_{what}|average:micro|values:stripped|version:1"
        ),
        statistics=statistics,
        value_of_sum=function,
        needs=GENERATED,
        answers_only=True,
        description=f"{what} of the slots (key and value) over all rows; 0..1, higher is better.",
    )


def _all_slots_right(predictions: Sequence[Prediction]) -> Statistics:
    with_references("exact_match", predictions)
    return mean_statistics(
        float(
            (given := slots_of(item.prediction or "")) is not None
            and any(given == slots_of(reference) for reference in item.references)
        )
        for item in predictions
    )


def _unparsable_statistics(predictions: Sequence[Prediction]) -> Statistics:
    with_references("unparsable", predictions)
    return mean_statistics(float(slots_of(item.prediction or "") is None) for item in predictions)


slot_f1 = _slot_metric("f1")
slot_precision = _slot_metric("precision")
slot_recall = _slot_metric("recall")
slot_exact_match = Metric(
    info=MetricInfo(
        name="exact_match",
        unit="share",
        interval="wilson",
        paired="mcnemar",
        signature="slot_exact_match|values:stripped|version:1",
    ),
    statistics=_all_slots_right,
    value_of_sum=mean_of_sum,
    needs=GENERATED,
    answers_only=True,
    description="Share of rows whose slots are exactly those of a reference; 0..1, higher is better.",
)
unparsable_json = share_of_unusable(
    _unparsable_statistics,
    signature="unparsable|form:JSON object|version:1",
    needs=GENERATED,
    description="Share of answers that are no JSON object; 0..1, lower is better.",
)
