"""Metrics of how sure a classification is of its options."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slmcheck.errors import UndefinedScoreError
from slmcheck.gates import MetricInfo
from slmcheck.metrics.classification import outcome
from slmcheck.metrics.definition import (
    OPTIONS,
    Array,
    Metric,
    Statistics,
    mean_of_sum,
    mean_statistics,
    required,
    with_references,
)
from slmcheck.records import Prediction

_BINS = 10
_BINARY = 2


def _check(metric: str, predictions: Sequence[Prediction]) -> None:
    with_references(metric, predictions)
    required(
        metric,
        predictions,
        lambda item: item.option_probabilities is not None and len(item.option_probabilities) == len(item.options) > 0,
        "the probability of each option (option_probabilities)",
    )


def _probabilities(item: Prediction) -> tuple[dict[str, float], str]:
    """Probability of each option, and the reference."""
    options = [option.strip() for option in item.options]
    reference, _ = outcome(item)
    if reference not in options:
        raise UndefinedScoreError(f"The reference '{reference}' of example {item.id} is none of its options.")
    return dict(zip(options, item.option_probabilities or (), strict=True)), reference


def _squared_error(item: Prediction) -> float:
    probabilities, reference = _probabilities(item)
    error = sum((value - (option == reference)) ** 2 for option, value in probabilities.items())
    # Two classes make the same error twice; like scikit-learn, count it once.
    return error / 2.0 if len(probabilities) == _BINARY else error


def _brier_statistics(predictions: Sequence[Prediction]) -> Statistics:
    _check("brier", predictions)
    return mean_statistics(_squared_error(item) for item in predictions)


brier = Metric(
    info=MetricInfo(name="brier", higher_is_better=False, signature="brier|two classes:halved|version:1"),
    statistics=_brier_statistics,
    value_of_sum=mean_of_sum,
    needs=OPTIONS,
    description="Mean squared error of the options' probabilities; 0..1 for two classes, 0..2 for more, lower is "
    "better. Gate calibration with it. Source: sklearn.metrics.brier_score_loss.",
)


def _ece_of_sum(sums: Array) -> Array:
    counts, confidences, hits = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
    return np.asarray(np.abs(confidences - hits).sum(axis=-1) / counts.sum(axis=-1))


def _ece_statistics(predictions: Sequence[Prediction]) -> Statistics:
    _check("ece", predictions)
    table = np.zeros((len(predictions), 3 * _BINS))
    for row, item in enumerate(predictions):
        probabilities, reference = _probabilities(item)
        # The first of equal options wins, as in choosing the answer.
        best = max(probabilities, key=lambda option: probabilities[option])
        confidence = probabilities[best]
        # Bins are open below and closed above: (0, .1], ..., (.9, 1].
        bin_number = min(max(int(np.ceil(confidence * _BINS)) - 1, 0), _BINS - 1)
        table[row, [bin_number, _BINS + bin_number, 2 * _BINS + bin_number]] = 1.0, confidence, best == reference
    columns = tuple(f"{what} {number}" for what in ("count", "confidence", "hits") for number in range(1, _BINS + 1))
    return Statistics(table, value_of_sum=_ece_of_sum, columns=columns)


ece = Metric(
    info=MetricInfo(
        name="ece",
        higher_is_better=False,
        interval="none",
        paired="none",
        signature=f"ece|bins:{_BINS}|width:equal|version:1",
    ),
    statistics=_ece_statistics,
    value_of_sum=_ece_of_sum,
    needs=OPTIONS,
    description="Expected calibration error in ten bins of equal width; 0..1, lower is better. For reports: a "
    "perfectly calibrated model has .05 at 200 rows, so gate calibration with brier. Source: Guo et al. 2017.",
)
