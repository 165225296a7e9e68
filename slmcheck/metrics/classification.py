"""Metrics of answers that are one of a few classes.

Labels are compared without surrounding white space. Where a row has several references, an answer that is among them
counts as that reference, any other as a miss of the first. An answer that is no label of the task (no option; without
options, no reference of any row) is unparsable: wrong, and one class of its own in MCC and in the confusion matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from slmcheck.errors import UndefinedScoreError
from slmcheck.gates import MetricInfo
from slmcheck.metrics.definition import (
    ANSWERS,
    Array,
    Metric,
    Statistics,
    ValueOfSum,
    mean_of_sum,
    mean_statistics,
    share_of_unusable,
    with_references,
)
from slmcheck.records import ConfusionRecord, Prediction

Average = Literal["macro", "micro", "weighted"]
UNPARSABLE = "(unparsable)"


def labels_of(predictions: Sequence[Prediction]) -> tuple[str, ...]:
    """All labels of a task, sorted: the options of its rows and their references."""
    found = {option.strip() for item in predictions for option in item.options}
    return tuple(sorted(found | {reference.strip() for item in predictions for reference in item.references}))


def outcome(item: Prediction) -> tuple[str, str | None]:
    """Reference and answer of one row; of several references the one that was met, else the first."""
    answer = item.prediction.strip() if item.prediction is not None else None
    references = [reference.strip() for reference in item.references]
    return (answer if answer is not None and answer in references else references[0]), answer


def confusion(predictions: Sequence[Prediction]) -> ConfusionRecord:
    """Counts of reference (row) against answer (column), with a last column for unparsable answers if there are any.

    Raises:
        UndefinedScoreError: If there are no predictions, or one has no reference.
    """
    with_references("confusion", predictions)
    labels = labels_of(predictions)
    position = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels) + 1, len(labels) + 1), dtype=np.int64)
    for item in predictions:
        reference, answer = outcome(item)
        counts[position[reference], position.get(answer or "", len(labels))] += 1
    size = len(labels) + (1 if counts[:, -1].any() else 0)
    return ConfusionRecord(
        labels=(*labels, UNPARSABLE)[:size],
        counts=tuple(tuple(int(count) for count in row[:size]) for row in counts[:size]),
    )


def confusion_statistics(metric: str, predictions: Sequence[Prediction], function: ValueOfSum) -> Statistics:
    """Hits, references and answers of each label, one row an example: all that averaged scores and MCC need.

    Returns:
        Statistics of shape (examples, 3 labels): all hits, then all references, then all answers.

    Raises:
        UndefinedScoreError: If there are no predictions, or one has no reference.
    """
    with_references(metric, predictions)
    labels = labels_of(predictions)
    position = {label: index for index, label in enumerate(labels)}
    count = len(labels)
    table = np.zeros((len(predictions), 3 * count))
    for row, item in enumerate(predictions):
        reference, answer = outcome(item)
        expected, given = position[reference], position.get(answer) if answer is not None else None
        table[row, count + expected] = 1.0
        if given is not None:
            table[row, 2 * count + given] = 1.0
            if given == expected:
                table[row, expected] = 1.0
    columns = tuple(f"{kind}:{label}" for kind in ("hit", "reference", "predicted") for label in labels)
    return Statistics(table, value_of_sum=function, columns=columns)


def _parts(sums: Array) -> tuple[Array, Array, Array]:
    """Hits, references and answers by label; each of shape (..., labels)."""
    hits, references, answers = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
    return hits, references, answers


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Quotients, 0 where the denominator is 0 (scikit-learn's `zero_division=0`)."""
    positive = denominator > 0
    return np.where(positive, numerator / np.where(positive, denominator, 1.0), 0.0)


def _averaged(average: Average, what: Literal["precision", "recall", "f1"]) -> ValueOfSum:
    def value(sums: Array) -> Array:
        hits, references, answers = _parts(sums)
        # Only classes that occur in the references count: the labels of `sorted(set(y_true))`.
        present = references > 0
        numerator = 2.0 * hits if what == "f1" else hits
        denominator = {"precision": answers, "recall": references, "f1": answers + references}[what]
        if average == "micro":
            return _ratio((numerator * present).sum(axis=-1), (denominator * present).sum(axis=-1))
        by_class = _ratio(numerator, denominator)
        weights = present.astype(np.float64) if average == "macro" else references
        return np.asarray((by_class * weights).sum(axis=-1) / weights.sum(axis=-1))

    return value


def _mcc(sums: Array) -> Array:
    hits, references, answers = _parts(sums)
    total = references.sum(axis=-1)
    unparsable = total - answers.sum(axis=-1)
    covariance = hits.sum(axis=-1) * total - (references * answers).sum(axis=-1)
    spread_of_answers = total**2 - (answers**2).sum(axis=-1) - unparsable**2
    spread_of_references = total**2 - (references**2).sum(axis=-1)
    product = spread_of_answers * spread_of_references
    return np.where(product > 0, covariance / np.sqrt(np.where(product > 0, product, 1.0)), 0.0)


def _is_right(item: Prediction) -> bool:
    reference, answer = outcome(item)
    return reference == answer


def _accuracy_statistics(predictions: Sequence[Prediction]) -> Statistics:
    with_references("accuracy", predictions)
    return mean_statistics(float(_is_right(item)) for item in predictions)


accuracy = Metric(
    info=MetricInfo(
        name="accuracy",
        unit="share",
        interval="wilson",
        paired="mcnemar",
        seed_sd=0.005,
        signature="accuracy|labels:stripped|unparsable:wrong|version:1",
    ),
    statistics=_accuracy_statistics,
    value_of_sum=mean_of_sum,
    needs=ANSWERS,
    answers_only=True,
    description="Share of rows whose answer is one of their references; 0..1, higher is better. "
    "Source: sklearn.metrics.accuracy_score.",
)


def _averaged_metric(
    name: str, what: Literal["precision", "recall", "f1"], average: Average, *, seed_sd: float | None = None
) -> Metric:
    function = _averaged(average, what)
    return Metric(
        info=MetricInfo(
            name=name,
            unit="share",
            scale="logit",
            seed_sd=seed_sd,
            signature=f"{what}|average:{average}|classes:in references|zero_division:0|version:1",
        ),
        statistics=lambda predictions: confusion_statistics(name, predictions, function),
        value_of_sum=function,
        answers_only=True,
        description=f"{what} of the classes that occur in the references, {average} average; 0..1, higher is better. "
        f"Source: sklearn.metrics.{what}_score(y, p, labels=sorted(set(y)), average='{average}', zero_division=0).",
    )


def f1_score(average: Average = "macro") -> Metric:
    """F1 over the classes that occur in the references, by the given average; `run.measure(f1_score("weighted"))`."""
    return _averaged_metric(f"f1_{average}", "f1", average, seed_sd=0.006 if average == "macro" else None)


def precision_score(average: Average = "macro") -> Metric:
    """Precision over the classes that occur in the references, by the given average."""
    return _averaged_metric(f"precision_{average}", "precision", average)


def recall_score(average: Average = "macro") -> Metric:
    """Recall over the classes that occur in the references, by the given average."""
    return _averaged_metric(f"recall_{average}", "recall", average)


def _of_class(what: Literal["precision", "recall", "f1"], label: str) -> Metric:
    name, wanted = f"{what}[{label}]", label.strip()

    def value(sums: Array) -> Array:
        hits, references, answers = sums[..., 0], sums[..., 1], sums[..., 2]
        numerator = 2.0 * hits if what == "f1" else hits
        return _ratio(numerator, {"precision": answers, "recall": references, "f1": answers + references}[what])

    def statistics(predictions: Sequence[Prediction]) -> Statistics:
        with_references(name, predictions)
        outcomes = [outcome(item) for item in predictions]
        table = np.array(
            [[reference == answer == wanted, reference == wanted, answer == wanted] for reference, answer in outcomes],
            dtype=np.float64,
        )
        if not table[:, 1].any():
            raise UndefinedScoreError(
                f"{name} is undefined: no reference is '{wanted}'.\n"
                f"References: {', '.join(sorted({reference for reference, _ in outcomes})[:10])}."
            )
        columns = tuple(f"{kind}:{wanted}" for kind in ("hit", "reference", "predicted"))
        return Statistics(table, value_of_sum=value, columns=columns)

    return Metric(
        info=MetricInfo(
            name=name,
            unit="share",
            scale="logit",
            signature=f"{what}|class:{wanted}|zero_division:0|version:1",
        ),
        statistics=statistics,
        value_of_sum=value,
        answers_only=True,
        description=f"{what} of the class '{wanted}'; 0..1, higher is better.",
    )


def f1_of(label: str) -> Metric:
    """F1 of one class."""
    return _of_class("f1", label)


def precision_of(label: str) -> Metric:
    """Precision of one class."""
    return _of_class("precision", label)


def recall_of(label: str) -> Metric:
    """Recall of one class."""
    return _of_class("recall", label)


f1 = _averaged_metric("f1", "f1", "macro", seed_sd=0.006)
f1_micro = f1_score("micro")
f1_weighted = f1_score("weighted")
precision = _averaged_metric("precision", "precision", "macro")
precision_micro = precision_score("micro")
precision_weighted = precision_score("weighted")
recall = _averaged_metric("recall", "recall", "macro")
recall_micro = recall_score("micro")
recall_weighted = recall_score("weighted")

balanced_accuracy = Metric(
    info=MetricInfo(
        name="balanced_accuracy",
        unit="share",
        scale="logit",
        signature="balanced_accuracy|classes:in references|version:1",
    ),
    statistics=lambda predictions: confusion_statistics("balanced_accuracy", predictions, _averaged("macro", "recall")),
    value_of_sum=_averaged("macro", "recall"),
    answers_only=True,
    description="Mean recall of the classes that occur in the references; 0..1, higher is better. "
    "Source: sklearn.metrics.balanced_accuracy_score.",
)


def _mcc_statistics(predictions: Sequence[Prediction]) -> Statistics:
    statistics = confusion_statistics("mcc", predictions, _mcc)
    references = _parts(statistics.per_example.sum(axis=0))[1]
    if (references > 0).sum() < 2:
        raise UndefinedScoreError(
            "mcc is undefined: every reference is of one class.\nIt needs two classes; accuracy needs one."
        )
    return statistics


mcc = Metric(
    info=MetricInfo(name="mcc", margin=0.02, signature="mcc|unparsable:one class|version:1", bounds=(-1.0, 1.0)),
    statistics=_mcc_statistics,
    value_of_sum=_mcc,
    answers_only=True,
    description="Matthews correlation of references and answers; -1..1, higher is better, 0 for one constant answer. "
    "Source: sklearn.metrics.matthews_corrcoef.",
)


def _unparsable_statistics(predictions: Sequence[Prediction]) -> Statistics:
    with_references("unparsable", predictions)
    labels = set(labels_of(predictions))
    return mean_statistics(
        float(item.prediction is None or item.prediction.strip() not in labels) for item in predictions
    )


unparsable = share_of_unusable(
    _unparsable_statistics,
    signature="unparsable|labels:options and references|version:1",
    description="Share of answers that are no label of the task; 0..1, lower is better.",
)
