from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from slmcheck.errors import UndefinedScoreError
from slmcheck.gates import ScoreSource
from slmcheck.metrics import (
    Statistics,
    accuracy,
    as_metric,
    can_read,
    f1,
    measure,
    perplexity,
    reference_hash,
    score_from,
)
from slmcheck.records import ExampleEvidence, Prediction

Predict = Callable[..., list[Prediction]]


def test_a_score_remembers_its_examples(predict: Predict, source: ScoreSource) -> None:
    predictions = predict(["spam", None], ["spam", ["ham", "eggs"]], options=("ham", "spam"), prompt="Hello")
    score = measure(accuracy, predictions, source)
    assert float(score) == 0.5
    assert score.source is source
    assert score.metric is accuracy.info
    evidence = score.evidence
    assert evidence is not None
    assert evidence.example_ids == ("e0000", "e0001")
    assert evidence.statistics.tolist() == [[1, 1], [0, 1]]
    assert evidence.answers == ("spam", "")
    assert evidence.reference_hashes == (reference_hash(["spam"]), reference_hash(["ham", "eggs"]))
    assert evidence.groups is None
    assert evidence.show is not None
    assert evidence.show("e0001") == ExampleEvidence(id="e0001", prompt="Hello", reference="ham", answer="")


def test_examples_are_sorted_by_id(predict: Predict, source: ScoreSource) -> None:
    predictions = predict(["a", "b", "c"], ["a", "x", "c"])
    first, second = measure(accuracy, predictions, source), measure(accuracy, predictions[::-1], source)
    assert first.evidence is not None
    assert second.evidence is not None
    assert second.evidence.example_ids == first.evidence.example_ids
    assert second.evidence.statistics.tobytes() == first.evidence.statistics.tobytes()


def test_examples_without_a_group_stand_alone(source: ScoreSource) -> None:
    predictions = [
        Prediction(id="1", prediction="a", references=("a",), group="2"),
        Prediction(id="2", prediction="a", references=("a",)),
    ]
    evidence = measure(accuracy, predictions, source).evidence
    assert evidence is not None
    assert evidence.groups is not None
    assert len(set(evidence.groups)) == 2


def test_no_predictions_have_no_score(source: ScoreSource) -> None:
    with pytest.raises(UndefinedScoreError, match=r"accuracy of no predictions is undefined\."):
        measure(accuracy, [], source)


def test_ids_that_repeat_are_refused(predict: Predict, source: ScoreSource) -> None:
    predictions = predict(["a"], ["a"]) * 2
    with pytest.raises(UndefinedScoreError, match=r"1 example ids repeat \(e0000\)"):
        measure(accuracy, predictions, source)


def test_a_stored_score_is_the_same_score(predict: Predict, source: ScoreSource) -> None:
    predictions = predict(["a", "b", "b", "a"], ["a", "a", "b", "c"], group="g")
    for metric in (accuracy, f1):
        score = measure(metric, predictions, source)
        evidence = score.evidence
        assert evidence is not None
        again = score_from(
            metric,
            ids=evidence.example_ids,
            statistics=evidence.statistics,
            columns=evidence.columns,
            source=source,
            groups=evidence.groups,
            reference_hashes=evidence.reference_hashes,
            answers=evidence.answers,
        )
        assert float(again) == float(score)
        assert again.interval == score.interval


def ratio(predictions: Sequence[Prediction]) -> Statistics:
    table = np.array([[len(item.prediction or ""), len(item.reference)] for item in predictions], dtype=float)
    return Statistics(table, value_of_sum=lambda sums: sums[..., 0] / sums[..., 1])


def test_a_stored_score_of_an_unknown_function_must_be_measured_again(predict: Predict, source: ScoreSource) -> None:
    metric = as_metric(ratio)
    evidence = measure(metric, predict(["aa"], ["a"]), source).evidence
    assert evidence is not None
    assert not can_read(metric, evidence.columns)
    with pytest.raises(UndefinedScoreError, match="Measure it again"):
        score_from(
            metric,
            ids=evidence.example_ids,
            statistics=evidence.statistics,
            columns=evidence.columns,
            source=source,
        )


def test_built_in_scores_can_be_read() -> None:
    assert can_read(accuracy, ("sum", "count"))
    assert can_read(perplexity, ("nll", "tokens"))


def test_only_likelihoods_leave_no_answers(source: ScoreSource) -> None:
    predictions = [Prediction(id="1", prediction=None, references=("a",), nll=1.0, tokens=1)]
    evidence = measure(perplexity, predictions, source).evidence
    assert evidence is not None
    assert evidence.answers is None


def test_the_hash_of_references_sees_every_edit() -> None:
    hashes = {reference_hash(references) for references in (["a"], ["b"], ["a", "b"], ["b", "a"], [], ["a "])}
    assert len(hashes) == 6
    assert all(len(found) == 16 for found in hashes)


def test_a_function_of_one_number_gets_an_interval_by_resampling(predict: Predict, source: ScoreSource) -> None:
    def longest(predictions: Sequence[Prediction]) -> float:
        return float(np.mean([len(item.prediction or "") for item in predictions]))

    predictions = predict([str(number) * (number % 7) for number in range(100)], ["x"] * 100)
    score = measure(as_metric(longest), predictions, source)
    assert score.evidence is None
    assert score.n == 100
    assert score.interval is not None
    low, high = score.interval
    assert low < float(score) < high
    assert measure(as_metric(longest), predictions, source).interval == score.interval


def test_a_slow_function_of_one_number_gets_none(predict: Predict, source: ScoreSource) -> None:
    import time

    calls = []

    def slow(predictions: Sequence[Prediction]) -> float:
        calls.append(len(predictions))
        time.sleep(0.06)
        return 0.5

    score = measure(as_metric(slow), predict(["a", "b"], ["a", "b"]), source)
    assert score.interval is None
    assert calls == [2]


def test_a_number_that_is_none_is_undefined(predict: Predict, source: ScoreSource) -> None:
    with pytest.raises(UndefinedScoreError, match="it gave nan"):
        measure(as_metric(lambda predictions: float("nan")), predict(["a"], ["a"]), source)
