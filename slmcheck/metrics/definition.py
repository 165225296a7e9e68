"""What a metric is: per-example statistics whose sum decides the score.

No metric has a value on no predictions: all raise `UndefinedScoreError` there, and where a row lacks what they read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from slmcheck.errors import UndefinedScoreError
from slmcheck.gates import MetricInfo
from slmcheck.records import Prediction, PredictionKind

Array: TypeAlias = NDArray[np.float64]
ValueOfSum: TypeAlias = Callable[[Array], Array]

MEAN_COLUMNS = ("sum", "count")
OPTIONS: frozenset[PredictionKind] = frozenset({"options"})
GENERATED: frozenset[PredictionKind] = frozenset({"generate"})
ANSWERS: frozenset[PredictionKind] = frozenset({"options", "generate"})
LIKELIHOODS: frozenset[PredictionKind] = frozenset({"nll"})

_SHOWN_IDS = 3


def mean_of_sum(sums: Array) -> Array:
    """Sums of ("sum", "count"), shape (..., 2), to means, shape (...)."""
    return np.asarray(sums[..., 0] / sums[..., 1], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Statistics:
    """What each example contributes to a score.

    A custom metric returns one when its score is no plain mean: a ratio of sums, or anything of a whole corpus that is
    a function of sums.
    """

    per_example: Array
    """Shape (examples, K), finite."""
    value_of_sum: ValueOfSum = mean_of_sum
    """Sums of the columns, shape (..., K), to scores, shape (...); called with many sums at once."""
    columns: tuple[str, ...] = MEAN_COLUMNS
    """Names of the K columns; examples of two runs are compared column by column."""

    def __post_init__(self) -> None:
        shape = np.shape(self.per_example)
        if len(shape) != 2:
            raise UndefinedScoreError(f"Statistics have shape {shape}; (examples, columns) was expected.")
        is_mean = self.value_of_sum is mean_of_sum
        if shape[1] != len(self.columns) or (self.columns == MEAN_COLUMNS and not is_mean):
            # Names only tell columns apart and a custom metric may leave them out; those of a mean stay a mean's.
            object.__setattr__(self, "columns", tuple(f"column {index}" for index in range(shape[1])))


def mean_statistics(values: Iterable[float]) -> Statistics:
    """Statistics of a score that is the mean of one value an example."""
    column = np.fromiter(values, dtype=np.float64)
    return Statistics(np.column_stack([column, np.ones_like(column)]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Metric:
    """A metric: its description, and how it reads predictions."""

    info: MetricInfo
    statistics: Callable[[Sequence[Prediction]], Statistics | float]
    """Predictions to what each contributes; a bare number has no per-example evidence."""
    value_of_sum: ValueOfSum | None = None
    """The same function as in the statistics, so that a stored score can be read; None where it is not known before."""
    needs: frozenset[PredictionKind] = ANSWERS
    """Kinds of prediction that it can be computed from; one of them is enough."""
    answers_only: bool = False
    """Whether answers and references are all it reads, so that a baseline's stored answers can be measured again."""
    version: int = 1
    cached: bool = True
    """Whether the store may keep its scores."""
    description: str = ""

    def __post_init__(self) -> None:
        if not self.info.name.strip():
            raise UndefinedScoreError("A metric needs a name.")

    @property
    def name(self) -> str:
        """The name on the surface: `f1`."""
        return self.info.name


def share_of_unusable(
    statistics: Callable[[Sequence[Prediction]], Statistics],
    *,
    signature: str,
    description: str,
    needs: frozenset[PredictionKind] = ANSWERS,
) -> Metric:
    """The metric `unparsable` of a task: the share of answers that have not the form that the task asks for."""
    return Metric(
        info=MetricInfo(
            name="unparsable",
            higher_is_better=False,
            unit="share",
            interval="wilson",
            paired="mcnemar",
            signature=signature,
        ),
        statistics=statistics,
        value_of_sum=mean_of_sum,
        needs=needs,
        answers_only=True,
        description=description,
    )


def required(metric: str, predictions: Sequence[Prediction], present: Callable[[Prediction], bool], what: str) -> None:
    """Refuse predictions that lack what a metric reads.

    Raises:
        UndefinedScoreError: If there are no predictions, or one of them lacks it.
    """
    if not predictions:
        raise UndefinedScoreError(
            f"{metric} of no predictions is undefined.\n"
            "The split or slice is empty; a score needs one example at least."
        )
    lacking = [item.id for item in predictions if not present(item)]
    if lacking:
        more = f" and {len(lacking) - _SHOWN_IDS} more" if len(lacking) > _SHOWN_IDS else ""
        raise UndefinedScoreError(
            f"{metric} is undefined: {what} is missing in {len(lacking)} of {len(predictions)} predictions.\n"
            f"Examples: {', '.join(lacking[:_SHOWN_IDS])}{more}."
        )


def with_references(metric: str, predictions: Sequence[Prediction]) -> None:
    """Refuse predictions without a reference.

    Raises:
        UndefinedScoreError: If there are no predictions, or one of them has no reference.
    """
    required(metric, predictions, lambda item: bool(item.references), "a reference")
