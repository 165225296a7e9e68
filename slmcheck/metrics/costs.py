"""What mistakes cost, by a table: a business metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slmcheck.errors import UndefinedScoreError
from slmcheck.gates import MetricInfo
from slmcheck.metrics.classification import labels_of, outcome
from slmcheck.metrics.definition import Metric, Statistics, mean_of_sum, mean_statistics, with_references
from slmcheck.records import Prediction


def cost(
    matrix: Mapping[str, Mapping[str, float]],
    *,
    unparsable: float | None = None,
    name: str = "cost",
    margin: float = 0.01,
) -> Metric:
    """Mean cost of the answers, from a table of what each mistake costs: a business metric.

    Range as the table, lower is better, in the table's own unit.

    Args:
        matrix: Reference to answer to cost: `{"complaint": {"praise": 20.0}}`. A right answer that is not in the table
            costs 0.
        unparsable: Cost of an answer that is no label; None makes such an answer an error.
        name: How it is called in verdicts and reports.
        margin: How much worse `no_worse_than` allows when it is not told.

    Raises:
        UndefinedScoreError: When it measures, if a mistake that was made is not in the table.
    """

    def cost_of(reference: str, answer: str | None, labels: set[str]) -> float:
        if answer is None or (answer not in labels and answer not in matrix.get(reference, {})):
            if unparsable is None:
                raise UndefinedScoreError(
                    f"{name} is undefined: the answer {answer!r} to a row of '{reference}' is no label.\n"
                    "Give cost(..., unparsable=...) what such an answer costs."
                )
            return unparsable
        if answer in matrix.get(reference, {}):
            return float(matrix[reference][answer])
        if answer == reference:
            return 0.0
        raise UndefinedScoreError(
            f"{name} is undefined: its table does not say what '{answer}' costs where '{reference}' is right.\n"
            f"Add it: matrix['{reference}']['{answer}']."
        )

    def statistics(predictions: Sequence[Prediction]) -> Statistics:
        with_references(name, predictions)
        labels = set(labels_of(predictions))
        return mean_statistics(cost_of(*outcome(item), labels) for item in predictions)

    table = ";".join(
        f"{reference}>{answer}:{float(matrix[reference][answer])!r}"
        for reference in sorted(matrix)
        for answer in sorted(matrix[reference])
    )
    return Metric(
        info=MetricInfo(
            name=name,
            higher_is_better=False,
            margin=margin,
            signature=f"cost|{table}|unparsable:{unparsable}|version:1",
        ),
        statistics=statistics,
        value_of_sum=mean_of_sum,
        answers_only=True,
        description="Mean cost of the answers by a table of mistakes; lower is better.",
    )
