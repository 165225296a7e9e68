"""Whether two models give the same answers."""

from __future__ import annotations

from collections.abc import Sequence

from slmcheck.gates import MetricInfo
from slmcheck.metrics.definition import Metric, Statistics, mean_of_sum, mean_statistics, required
from slmcheck.records import Prediction


def agreement(other: Sequence[Prediction], *, name: str = "agreement") -> Metric:
    """Share of rows on which two models give the same answer; 0..1, higher is better.

    Args:
        other: The answers to agree with, by example id: those of the backend or precision that is trusted.
        name: How it is called in verdicts and reports.

    Raises:
        UndefinedScoreError: When it measures, if an example is missing in `other`.
    """
    answers = {item.id: (item.prediction or "").strip() for item in other}

    def statistics(predictions: Sequence[Prediction]) -> Statistics:
        required(name, predictions, lambda item: item.id in answers, "the other model's answer")
        return mean_statistics(float((item.prediction or "").strip() == answers[item.id]) for item in predictions)

    return Metric(
        info=MetricInfo(
            name=name,
            unit="share",
            interval="clopper_pearson",
            paired="mcnemar",
            signature="agreement|answers:stripped|version:1",
        ),
        statistics=statistics,
        value_of_sum=mean_of_sum,
        description="Share of rows on which two models give the same answer; 0..1, higher is better.",
    )
