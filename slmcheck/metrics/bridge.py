"""Modules of Hugging Face's `evaluate` as metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from slmcheck.errors import MissingExtraError, UndefinedScoreError
from slmcheck.gates import MetricInfo, Unit
from slmcheck.metrics.classification import labels_of
from slmcheck.metrics.definition import Metric, with_references
from slmcheck.records import Json, Prediction


def evaluate_module(
    path_or_id: str | Path,
    *,
    output: str | None = None,
    higher_is_better: bool = True,
    unit: Unit = "",
    margin: float = 0.01,
    name: str | None = None,
    **options: Json,
) -> Metric:
    """A metric from an `evaluate` module: a local folder or script, or a hub id.

    A local path is loaded without network. The module gives one number, so the score has no per-example evidence: its
    interval is by resampling where the module is quick, and it is not compared with a baseline.

    Args:
        path_or_id: `metrics/my_metric`, `./my_metric.py`, or a hub id such as `sacrebleu`.
        output: Which number of the module's result; None takes the only one, or the one named like the module.
        higher_is_better: Its direction.
        unit: Its unit.
        margin: How much worse `no_worse_than` allows when it is not told.
        name: How it is called in verdicts and reports; None takes the last part of the path or id.
        options: Passed to the module's `compute`, for example `average="macro"`.

    Raises:
        MissingExtraError: When it measures, if `evaluate` is not installed.
        UndefinedScoreError: When it measures, if the module cannot be loaded or gives no such number.
    """
    source = str(path_or_id)
    short = name or Path(source).stem
    state: list[Any] = []

    def statistics(predictions: Sequence[Prediction]) -> float:
        with_references(short, predictions)
        if not state:
            state.append(_load(source))
        module = state[0]
        columns = _columns(module, short, predictions)
        result = module.compute(**columns, **options)
        return _number(short, source, result, output)

    return Metric(
        info=MetricInfo(
            name=short,
            higher_is_better=higher_is_better,
            unit=unit,
            margin=margin,
            interval="none",
            paired="none",
            signature=f"evaluate:{source}|{output or ''}|{sorted(options.items())!r}",
        ),
        statistics=statistics,
        cached=False,
        description=f"`evaluate` module {source}.",
    )


def _load(source: str) -> Any:
    try:
        import evaluate
    except ImportError as error:
        raise MissingExtraError(
            f"The metric '{source}' is a module of `evaluate`, which is not installed.\n"
            'Install it: pip install "slmcheck[evaluate]"'
        ) from error
    try:
        return evaluate.load(source)
    except (FileNotFoundError, ModuleNotFoundError, ImportError, OSError, ValueError) as error:
        raise UndefinedScoreError(
            f"The `evaluate` module '{source}' cannot be loaded: {str(error).splitlines()[0]}\n"
            "A folder or script of this machine is loaded without network; anything else is a hub id.\n"
            "Give the path of a downloaded module, or connect once so that it is cached."
        ) from error


def _columns(module: Any, name: str, predictions: Sequence[Prediction]) -> dict[str, list[Any]]:
    """Predictions and references as the module's features want them: label numbers, one text, or a list of texts."""
    features = module.features[0] if isinstance(module.features, list) else module.features
    wanted = dict(features)
    if not {"predictions", "references"} <= wanted.keys():
        raise UndefinedScoreError(
            f"The `evaluate` module '{name}' wants {', '.join(wanted)}.\n"
            "Only modules of predictions and references can be metrics of a run; for others write a function."
        )
    if str(getattr(wanted["references"], "dtype", "")).startswith(("int", "float")):
        labels = {label: number for number, label in enumerate(labels_of(predictions))}
        unparsable = [item.id for item in predictions if (item.prediction or "").strip() not in labels]
        if unparsable:
            raise UndefinedScoreError(
                f"'{name}' is undefined: {len(unparsable)} answers are no label ({', '.join(unparsable[:3])}).\n"
                "The module knows label numbers only; accuracy and f1 of slmcheck count such answers as wrong."
            )
        return {
            "predictions": [labels[(item.prediction or "").strip()] for item in predictions],
            "references": [labels[item.reference.strip()] for item in predictions],
        }
    answers = [item.prediction or "" for item in predictions]
    if hasattr(wanted["references"], "dtype"):
        return {"predictions": answers, "references": [item.reference for item in predictions]}
    return {"predictions": answers, "references": [list(item.references) for item in predictions]}


def _number(name: str, source: str, result: Mapping[str, Any] | None, output: str | None) -> float:
    numbers = {key: float(value) for key, value in (result or {}).items() if isinstance(value, Real)}
    key = output or (name if name in numbers else next(iter(numbers)) if len(numbers) == 1 else None)
    if key is None or key not in numbers:
        asked = f"has no number '{output}'" if output else "gives several numbers"
        raise UndefinedScoreError(
            f"The result of the `evaluate` module '{source}' {asked}.\n"
            f"Its numbers: {', '.join(numbers) or 'none'}.\nName one: evaluate_module(..., output='...')"
        )
    return numbers[key]
