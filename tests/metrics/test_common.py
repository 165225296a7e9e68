"""Properties that every built-in metric has."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slmcheck.gates import ScoreSource
from slmcheck.metrics import METRICS, Metric, Statistics, measure
from slmcheck.records import Prediction, Task

# A metric that several tasks share is tried under the first of them.
CASES = list(
    {id(metric): (task, name) for task in reversed(get_args(Task)) for name, metric in METRICS[task].items()}.values()
)
SOURCE = ScoreSource(name="lora")
LABELS = ("anger", "joy", "neutral")
WORDS = ("the", "cat", "sat", "on", "mat", "Dog", "ran", "it's", "5.5", "Zoë")
BOUNDS = {"share": (0.0, 1.0), "points": (0.0, 100.0)}
SPECIAL_BOUNDS = {"mcc": (-1.0, 1.0), "brier": (0.0, 2.0), "ece": (0.0, 1.0), "ter": (0.0, np.inf)}
UNBOUNDED = {"loss": (0.0, np.inf), "bits_per_byte": (0.0, np.inf)}

SENTENCES = st.lists(st.sampled_from(WORDS), min_size=4, max_size=9).map(" ".join)
SLOTS = st.dictionaries(st.sampled_from(("time", "people", "date")), st.sampled_from(("1", "2", "3")), min_size=1)


CALLS = st.tuples(st.sampled_from(("book", "cancel")), SLOTS).map(lambda call: {"name": call[0], "arguments": call[1]})
STRUCTURED = {"json_valid", "tool_name_match", "tool_argument_match"}


def _rows(task: Task, name: str) -> st.SearchStrategy[dict[str, object]]:
    if task in ("classification", "sequence_classification"):
        return st.builds(
            lambda answer, reference, weights: {
                "prediction": answer,
                "references": (reference,),
                "options": LABELS,
                "option_probabilities": tuple(weight / sum(weights) for weight in weights),
                **_likelihood(sum(weights)),
            },
            st.sampled_from((*LABELS, None, "?")),
            st.sampled_from(LABELS),
            st.tuples(*[st.integers(1, 9)] * len(LABELS)),
        )
    texts = SENTENCES
    if task == "extraction":
        texts = SLOTS.map(json.dumps)
    elif name in STRUCTURED:
        texts = CALLS.map(json.dumps)
    return st.builds(
        lambda answer, reference, weight: {
            "prediction": answer,
            "references": (reference,),
            **_likelihood(weight),
        },
        texts | st.sampled_from((None, "")),
        texts,
        st.integers(1, 40),
    )


def _likelihood(weight: int) -> dict[str, object]:
    return {"nll": weight / 3.0, "tokens": 1 + weight % 7, "bytes": 2 + weight % 11, "words": 1 + weight % 3}


def predictions_of(task: Task, name: str) -> st.SearchStrategy[list[Prediction]]:
    def numbered(rows: list[dict[str, object]]) -> list[Prediction]:
        # Two classes at least, so that MCC is defined.
        if task in ("classification", "sequence_classification"):
            rows[0]["references"], rows[1]["references"] = (LABELS[0],), (LABELS[1],)
        return [Prediction(id=f"e{number:02}", **row) for number, row in enumerate(rows)]  # type: ignore[arg-type]

    return st.lists(_rows(task, name), min_size=2, max_size=12).map(numbered)


def statistics_of(metric: Metric, predictions: list[Prediction]) -> Statistics:
    statistics = metric.statistics(predictions)
    assert isinstance(statistics, Statistics)
    return statistics


def perfect(item: Prediction) -> Prediction:
    certain = tuple(float(option == item.reference) for option in item.options) or None
    return dataclasses.replace(item, prediction=item.reference, option_probabilities=certain, nll=0.0)


@pytest.mark.parametrize(("task", "name"), CASES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_order_changes_nothing_not_even_the_last_digit(task: Task, name: str, data: st.DataObject) -> None:
    predictions = data.draw(predictions_of(task, name))
    shuffled = random.Random(len(predictions)).sample(predictions, len(predictions))
    metric = METRICS[task][name]
    assert float(measure(metric, shuffled, SOURCE)) == float(measure(metric, predictions, SOURCE))


@pytest.mark.parametrize(("task", "name"), CASES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_scores_stay_in_their_range(task: Task, name: str, data: st.DataObject) -> None:
    metric = METRICS[task][name]
    low, high = (SPECIAL_BOUNDS | UNBOUNDED).get(name) or BOUNDS.get(metric.info.unit, (1.0, np.inf))
    score = float(measure(metric, data.draw(predictions_of(task, name)), SOURCE))
    assert low - 1e-12 <= score <= high + 1e-9


@pytest.mark.parametrize(("task", "name"), CASES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_perfect_answer_scores_best(task: Task, name: str, data: st.DataObject) -> None:
    predictions = data.draw(predictions_of(task, name))
    metric = METRICS[task][name]
    best = float(measure(metric, [perfect(item) for item in predictions], SOURCE))
    score = float(measure(metric, predictions, SOURCE))
    ideal = {"share": 1.0, "points": 100.0}.get(metric.info.unit, 1.0) if metric.info.higher_is_better else 0.0
    if "perplexity" in name:
        ideal = 1.0
    assert best == pytest.approx(ideal, abs=1e-12)
    assert (score - best) * (1 if metric.info.higher_is_better else -1) <= 1e-9


@pytest.mark.parametrize(("task", "name"), CASES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_score_is_a_function_of_sums_and_of_many_at_once(task: Task, name: str, data: st.DataObject) -> None:
    metric = METRICS[task][name]
    predictions = data.draw(predictions_of(task, name))
    statistics = statistics_of(metric, predictions)
    total = statistics.per_example.sum(axis=0)
    stacked = np.stack([[total, 2 * total], [3 * total, total]])
    values = statistics.value_of_sum(stacked)
    assert values.shape == (2, 2)
    assert values[0, 0] == float(measure(metric, predictions, SOURCE))
    one_by_one = [[float(statistics.value_of_sum(sums)) for sums in row] for row in stacked]
    assert values == pytest.approx(np.array(one_by_one), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize(("task", "name"), CASES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_statistics_of_an_example_do_not_depend_on_the_others(task: Task, name: str, data: st.DataObject) -> None:
    metric = METRICS[task][name]
    predictions = data.draw(predictions_of(task, name))
    whole = statistics_of(metric, predictions)
    part = statistics_of(metric, predictions[:2])
    shared = [whole.columns.index(column) for column in part.columns]
    assert whole.per_example[:2][:, shared].tolist() == part.per_example.tolist()


@pytest.mark.parametrize(("task", "name"), CASES)
def test_no_predictions_have_no_score(task: Task, name: str) -> None:
    from slmcheck.errors import UndefinedScoreError

    with pytest.raises(UndefinedScoreError):
        measure(METRICS[task][name], [], SOURCE)
