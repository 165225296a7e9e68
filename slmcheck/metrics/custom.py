"""A user's own function as a metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from slmcheck.errors import UndefinedScoreError
from slmcheck.gates import MetricInfo, Unit
from slmcheck.metrics.definition import ANSWERS, Metric, Statistics, ValueOfSum, mean_of_sum, mean_statistics
from slmcheck.records import Prediction, PredictionKind

MetricFunction: TypeAlias = Callable[[Sequence[Prediction]], "Sequence[float] | Statistics | float"]
Function = TypeVar("Function", bound=MetricFunction)
_DECLARED = "__slmcheck_metric__"


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What `@metric` attaches to a function."""

    name: str | None = None
    higher_is_better: bool = True
    unit: Unit = ""
    margin: float = 0.01
    margin_kind: Literal["absolute", "relative"] = "absolute"
    needs: frozenset[PredictionKind] = ANSWERS
    version: int | None = None
    value_of_sum: ValueOfSum | None = None


def metric(
    *,
    name: str | None = None,
    higher_is_better: bool = True,
    unit: Unit = "",
    margin: float = 0.01,
    margin_kind: Literal["absolute", "relative"] = "absolute",
    needs: Sequence[PredictionKind] = ("options", "generate"),
    version: int | None = None,
    value_of_sum: ValueOfSum | None = None,
) -> Callable[[Function], Function]:
    """Say what a metric function means; the function stays as it is and nothing is registered.

    Args:
        name: How it is called in verdicts and reports; None takes the name of the function.
        higher_is_better: Its direction.
        unit: `share` (0..1, shown in points), `points`, `nats`, `bits`, `count`, ... or "".
        margin: How much worse `no_worse_than` allows when it is not told.
        margin_kind: Whether the margin is absolute or a share of the score compared with.
        needs: Kinds of prediction it can read; `("nll",)` for one that reads `nll` and `tokens`.
        version: Number of its definition; with one the store keeps its scores, so raise it with every change.
        value_of_sum: The function of its `Statistics`, so that stored scores can be read without measuring; not needed
            for a function that returns one value an example.
    """
    declaration = Declaration(
        name=name,
        higher_is_better=higher_is_better,
        unit=unit,
        margin=margin,
        margin_kind=margin_kind,
        needs=frozenset(needs),
        version=version,
        value_of_sum=value_of_sum,
    )

    def attach(function: Function) -> Function:
        setattr(function, _DECLARED, declaration)
        return function

    return attach


def as_metric(function: Metric | MetricFunction) -> Metric:
    """A metric from a function of predictions; a Metric is given back as it is.

    The function returns one value an example (the score is their mean), `Statistics` (a ratio, or anything of the whole
    corpus), or one number, which then has no per-example evidence. Without `@metric` higher is better, there is no
    unit, and it is measured again in each session.

    Raises:
        UndefinedScoreError: When it measures, if the function returns something else.
    """
    if isinstance(function, Metric):
        return function
    declared = getattr(function, _DECLARED, None)
    declaration = declared if isinstance(declared, Declaration) else Declaration()
    name = declaration.name or str(getattr(function, "__name__", type(function).__name__))
    version = declaration.version or 1
    return Metric(
        info=MetricInfo(
            name=name,
            higher_is_better=declaration.higher_is_better,
            unit=declaration.unit,
            margin=declaration.margin,
            margin_kind=declaration.margin_kind,
            signature=f"{_place(function)}|version:{version}",
        ),
        statistics=lambda predictions: _measured(name, function, predictions),
        value_of_sum=declaration.value_of_sum or mean_of_sum,
        needs=declaration.needs,
        version=version,
        cached=declaration.version is not None,
        description=(getattr(function, "__doc__", None) or "").strip().partition("\n")[0],
    )


def _place(function: MetricFunction) -> str:
    """Module and qualified name of a function; of its class where it is a callable object."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def _measured(name: str, function: MetricFunction, predictions: Sequence[Prediction]) -> Statistics | float:
    returned = function(predictions)
    if isinstance(returned, Statistics):
        if len(returned.per_example) != len(predictions):
            raise _wrong_count(name, len(returned.per_example), len(predictions))
        return returned
    values = np.asarray(returned)
    if values.dtype.kind not in "biuf":
        raise UndefinedScoreError(
            f"{name} returned {type(returned).__name__}: {str(returned)[:80]!r}.\n"
            "A metric function returns one number an example, slmcheck.Statistics, or one number."
        )
    if values.ndim == 0:
        return float(values)
    if values.shape != (len(predictions),):
        raise _wrong_count(name, len(values), len(predictions))
    return mean_statistics(float(value) for value in values)


def _wrong_count(name: str, returned: int, expected: int) -> UndefinedScoreError:
    return UndefinedScoreError(
        f"{name} returned {returned} values for {expected} predictions.\n"
        "A metric function returns one number an example, in their order."
    )
