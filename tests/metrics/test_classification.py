from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest

from slmcheck.errors import UndefinedScoreError
from slmcheck.metrics import (
    Metric,
    accuracy,
    balanced_accuracy,
    confusion,
    f1,
    f1_of,
    f1_score,
    mcc,
    precision_of,
    precision_score,
    recall_of,
    recall_score,
    unparsable,
)
from slmcheck.records import Prediction

sklearn = pytest.importorskip("sklearn", "1.5")  # compared with 1.9.1

Predict = Callable[..., list[Prediction]]
RealRows = Callable[[str], list[dict[str, str]]]
Value = Callable[[Metric, list[Prediction]], float]
REFERENCE = pytest.approx
"""Equal to a reference implementation means within 1e-12 relative."""

# Three spam, five ham; two hams and one spam are taken for the other.
ANSWERS = ["spam", "spam", "ham", "ham", "ham", "ham", "spam", "spam"]
REFERENCES = ["spam", "spam", "spam", "ham", "ham", "ham", "ham", "ham"]


def test_by_hand(predict: Predict, value: Value) -> None:
    predictions = predict(ANSWERS, REFERENCES, options=("ham", "spam"))
    assert value(accuracy, predictions) == 5 / 8
    assert value(precision_of("spam"), predictions) == 2 / 4
    assert value(recall_of("spam"), predictions) == 2 / 3
    assert value(f1_of("spam"), predictions) == 2 * 2 / (4 + 3)
    assert value(f1_of("ham"), predictions) == 2 * 3 / (4 + 5)
    assert value(f1, predictions) == pytest.approx((4 / 7 + 6 / 9) / 2, rel=1e-15)
    assert value(balanced_accuracy, predictions) == pytest.approx((2 / 3 + 3 / 5) / 2, rel=1e-15)
    assert value(f1_score("micro"), predictions) == 5 / 8
    assert value(f1_score("weighted"), predictions) == pytest.approx((3 * 4 / 7 + 5 * 6 / 9) / 8, rel=1e-15)
    assert value(mcc, predictions) == pytest.approx((5 * 8 - (3 * 4 + 5 * 4)) / 960**0.5, rel=1e-15)
    assert confusion(predictions).counts == ((3, 2), (1, 2))


def test_white_space_around_labels_is_nothing(predict: Predict, value: Value) -> None:
    predictions = predict([" spam", "ham\n"], ["spam ", "spam"], options=(" ham", " spam"))
    assert value(accuracy, predictions) == 0.5
    assert confusion(predictions).labels == ("ham", "spam")


def test_an_answer_that_is_no_label_is_wrong_and_unparsable(predict: Predict, value: Value) -> None:
    predictions = predict(["spam", "Spam!", None, ""], ["spam"] * 3 + ["ham"], options=("ham", "spam"))
    assert value(accuracy, predictions) == 0.25
    assert value(unparsable, predictions) == 0.75
    assert value(recall_of("spam"), predictions) == 1 / 3
    assert value(precision_of("spam"), predictions) == 1.0
    record = confusion(predictions)
    assert record.labels == ("ham", "spam", "(unparsable)")
    assert record.counts == ((0, 0, 1), (0, 1, 2), (0, 0, 0))


def test_without_options_the_references_are_the_labels(predict: Predict, value: Value) -> None:
    predictions = predict(["a", "b", "c"], ["a", "a", "b"])
    assert value(unparsable, predictions) == 1 / 3
    assert value(f1, predictions) == pytest.approx((2 / 3 + 0) / 2)


def test_any_of_several_references_is_right(predict: Predict, value: Value) -> None:
    predictions = predict(["joy", "anger", "fear"], [["sadness", "joy"], ["joy", "sadness"], "fear"])
    assert value(accuracy, predictions) == 2 / 3
    assert value(recall_of("joy"), predictions) == 0.5
    assert value(recall_of("fear"), predictions) == 1.0


def test_classes_that_only_occur_in_answers_are_not_averaged(predict: Predict, value: Value) -> None:
    predictions = predict(["a", "b", "c"], ["a", "b", "b"], options=("a", "b", "c"))
    assert value(f1, predictions) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_averages_equal_scikit_learn(average: str, classified: list[Prediction], value: Value) -> None:
    from sklearn.metrics import f1_score as sk_f1
    from sklearn.metrics import precision_score as sk_precision
    from sklearn.metrics import recall_score as sk_recall

    answers = [item.prediction for item in classified]
    references = [item.reference for item in classified]
    for ours, theirs in ((f1_score, sk_f1), (precision_score, sk_precision), (recall_score, sk_recall)):
        expected = theirs(references, answers, labels=sorted(set(references)), average=average, zero_division=0)
        assert value(ours(average), classified) == REFERENCE(expected, rel=1e-12)  # type: ignore[arg-type]


def test_scores_of_one_class_equal_scikit_learn(classified: list[Prediction], value: Value) -> None:
    from sklearn.metrics import precision_recall_fscore_support

    labels = sorted({item.reference for item in classified})
    precision, recall, f_measure, _ = precision_recall_fscore_support(
        [item.reference for item in classified], [item.prediction for item in classified], labels=labels
    )
    for number, label in enumerate(labels):
        assert value(precision_of(label), classified) == REFERENCE(precision[number], rel=1e-12)
        assert value(recall_of(label), classified) == REFERENCE(recall[number], rel=1e-12)
        assert value(f1_of(label), classified) == REFERENCE(f_measure[number], rel=1e-12)


def test_other_scores_equal_scikit_learn(classified: list[Prediction], value: Value) -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, matthews_corrcoef

    answers = [item.prediction for item in classified]
    references = [item.reference for item in classified]
    assert value(accuracy, classified) == REFERENCE(accuracy_score(references, answers), rel=1e-12)
    assert value(balanced_accuracy, classified) == REFERENCE(balanced_accuracy_score(references, answers), rel=1e-12)
    assert value(mcc, classified) == REFERENCE(matthews_corrcoef(references, answers), rel=1e-12)
    record = confusion(classified)
    expected = confusion_matrix(references, answers, labels=list(record.labels))
    assert record.counts == tuple(tuple(row) for row in expected.tolist())


def test_scores_with_unparsable_answers_equal_scikit_learn(classified: list[Prediction], value: Value) -> None:
    import dataclasses

    from sklearn.metrics import balanced_accuracy_score, matthews_corrcoef
    from sklearn.metrics import f1_score as sk_f1

    damaged = [
        dataclasses.replace(item, prediction=None if number % 20 == 0 else "?" if number % 20 == 1 else item.prediction)
        for number, item in enumerate(classified)
    ]
    options = set(damaged[0].options)
    answers = [item.prediction if item.prediction in options else "unparsable" for item in damaged]
    references = [item.reference for item in damaged]
    labels = sorted(set(references))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of an answer that is no reference
        balanced = balanced_accuracy_score(references, answers)
    assert value(mcc, damaged) == REFERENCE(matthews_corrcoef(references, answers), rel=1e-12)
    assert value(f1, damaged) == REFERENCE(
        sk_f1(references, answers, labels=labels, average="macro", zero_division=0), rel=1e-12
    )
    assert value(balanced_accuracy, damaged) == REFERENCE(balanced, rel=1e-12)


def test_a_constant_answer_has_mcc_zero(predict: Predict, value: Value) -> None:
    assert value(mcc, predict(["a", "a", "a"], ["a", "b", "b"])) == 0.0


def test_mcc_of_one_class_is_undefined(predict: Predict, value: Value) -> None:
    with pytest.raises(UndefinedScoreError, match="every reference is of one class"):
        value(mcc, predict(["a", "b"], ["a", "a"], options=("a", "b")))


def test_a_class_without_references_is_undefined(predict: Predict, value: Value) -> None:
    with pytest.raises(UndefinedScoreError, match=r"recall\[joy\] is undefined: no reference is 'joy'"):
        value(recall_of("joy"), predict(["joy"], ["anger"]))


@pytest.mark.parametrize("metric", [accuracy, f1, mcc, unparsable, f1_of("a")], ids=lambda metric: metric.name)
def test_a_row_without_a_reference_is_undefined(metric: Metric, predict: Predict, value: Value) -> None:
    with pytest.raises(UndefinedScoreError, match=r"a reference is missing in 1 of 2 predictions.\nExamples: e0001"):
        value(metric, predict(["a", "a"], ["a", []]))


def test_a_hundred_thousand_predictions_are_measured(value: Value) -> None:
    labels = [f"intent {number}" for number in range(8)]
    predictions = [
        Prediction(
            id=str(number),
            prediction=labels[(number * 7) % 8],
            references=(labels[number % 8 if number % 3 else (number * 7) % 8],),
            options=tuple(labels),
        )
        for number in range(100_000)
    ]
    assert 0.3 < value(accuracy, predictions) < 0.7
    assert 0.3 < value(f1, predictions) < 0.7


def test_columns_are_hits_then_references_then_answers(predict: Predict) -> None:
    statistics = f1.statistics(predict(["a", "b"], ["a", "a"], options=("a", "b")))
    assert not isinstance(statistics, float)
    assert statistics.columns == ("hit:a", "hit:b", "reference:a", "reference:b", "predicted:a", "predicted:b")
    assert statistics.per_example.tolist() == [[1, 0, 1, 0, 1, 0], [0, 0, 1, 0, 0, 1]]


@pytest.mark.real
def test_real_labels_equal_scikit_learn(real_rows: RealRows, value: Value) -> None:

    from sklearn.metrics import f1_score as sk_f1
    from sklearn.metrics import matthews_corrcoef

    rows = real_rows("banking77")
    field = next(name for name in ("label", "intent", "category") if name in rows[0])
    labels = [str(row[field]) for row in rows]
    predictions = [
        Prediction(
            id=str(number),
            prediction=label if number % 5 else labels[(number * 31) % len(labels)],
            references=(label,),
            options=tuple(sorted(set(labels))),
        )
        for number, label in enumerate(labels)
    ]
    answers = [item.prediction for item in predictions]
    assert value(mcc, predictions) == REFERENCE(matthews_corrcoef(labels, answers), rel=1e-12)
    assert value(f1, predictions) == REFERENCE(sk_f1(labels, answers, average="macro"), rel=1e-12)
