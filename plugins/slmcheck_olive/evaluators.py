"""Olive's evaluators -> conditions on scores that a suite asserts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from slmcheck.recipes.foreign import Bound, BoundForm
from slmcheck.records import Json
from slmcheck_olive.draft import Draft, as_number, mapping_at

METRICS: Final[Mapping[str, str]] = {
    "accuracy_score": "accuracy",
    "accuracy": "accuracy",
    "f1_score": "f1",
    "f1": "f1",
    "precision": "precision",
    "recall": "recall",
    "perplexity": "perplexity",
    "exact_match": "exact_match",
}
LOWER_IS_BETTER = ("perplexity",)
_SPEED: Final[Mapping[str, str]] = {
    "latency": "speed is no score; remove it: the report shows it, and slmcheck parity RUN measures exports",
    "throughput": "speed is no score; remove it: the report shows it, and slmcheck parity RUN measures exports",
    "size_on_disk": "size is no score; remove it: slmcheck export RUN DIR tells it",
}
_METRIC = ("name", "type", "sub_types", "data_config", "user_config", "backend")
_SUB = ("name", "priority", "higher_is_better", "goal", "metric_config")
_GOALS = ("threshold", "max-degradation", "min-improvement", "percent-max-degradation", "percent-min-improvement")


def read_evaluators(draft: Draft, key: str, value: Json, wanted: Json) -> None:
    """The conditions of the evaluator that the workflow names, or of all of them where it names none."""
    evaluators = mapping_at(draft, key, value)
    if isinstance(wanted, str) and wanted not in evaluators:
        draft.unknown("evaluator", wanted, list(evaluators))
        return
    for name, evaluator in evaluators.items():
        if isinstance(wanted, str) and name != wanted:
            draft.note(f"{key}.{name}", "left out: the workflow does not use it")
            continue
        metrics = mapping_at(draft, f"{key}.{name}", evaluator).get("metrics")
        for number, metric in enumerate(metrics if isinstance(metrics, list) else []):
            _metric(draft, f"{key}.{name}.metrics[{number}]", mapping_at(draft, f"{key}.{name}.metrics", metric))


def _metric(draft: Draft, key: str, metric: dict[str, Json]) -> None:
    for name in metric:
        if name not in _METRIC:
            draft.unknown(f"{key}.{name}", name, _METRIC)
    kind = str(metric.get("type", "accuracy"))
    if kind in _SPEED:
        draft.refuse(f"{key}.type", _SPEED[kind])
        return
    if kind != "accuracy" or metric.get("user_config"):
        draft.refuse(f"{key}.type", f"'{kind}' names code of its own; write the metric as a function in the suite")
        return
    for name, text in (
        ("data_config", "left out: scores are of the test rows (data.test)"),
        ("backend", "left out: metrics are ours"),
    ):
        if name in metric:
            draft.note(f"{key}.{name}", text)
    parts = metric.get("sub_types")
    for number, part in enumerate(parts if isinstance(parts, list) else []):
        _sub_type(draft, f"{key}.sub_types[{number}]", mapping_at(draft, f"{key}.sub_types", part))


def _sub_type(draft: Draft, key: str, part: dict[str, Json]) -> None:
    for name in part:
        if name not in _SUB:
            draft.unknown(f"{key}.{name}", name, _SUB)
    named = str(part.get("name"))
    metric = METRICS.get(named)
    if metric is None:
        draft.refuse(f"{key}.name", f"'{named}' is no metric of ours by that name; write the metric as a function")
        return
    for name in ("priority", "metric_config", "higher_is_better"):
        if part.get(name) is not None:
            draft.note(f"{key}.{name}", "left out: a metric of ours brings its own")
    if part.get("goal") is None:
        draft.note(f"{key}.goal", f"no goal, so nothing is asserted of {metric}")
        return
    goal = mapping_at(draft, f"{key}.goal", part["goal"])
    kind, value = goal.get("type"), as_number(goal.get("value"))
    form = _form(kind, metric)
    if form is None:
        _refuse_goal(draft, f"{key}.goal.type", kind)
    elif metric in LOWER_IS_BETTER and kind != "threshold":
        draft.refuse(f"{key}.goal.type", f"{metric} changes by shares, not by points; write a threshold")
    elif isinstance(value, bool) or not isinstance(value, int | float):
        draft.refuse(f"{key}.goal.value", f"{value!r} is no number")
    else:
        draft.bounds.append(Bound(metric=metric, form=form, value=float(value), key=f"{key}.goal"))


def _form(kind: Json, metric: str) -> BoundForm | None:
    if kind == "threshold":
        return "at_most" if metric in LOWER_IS_BETTER else "at_least"
    if kind == "max-degradation":
        return "no_worse_than_baseline"
    return "better_than_base" if kind == "min-improvement" else None


def _refuse_goal(draft: Draft, key: str, kind: Json) -> None:
    if isinstance(kind, str) and kind.startswith("percent-") and kind in _GOALS:
        plain = kind.removeprefix("percent-")
        draft.refuse(
            key, f"'{kind}' is a share of a score that is not known yet; write {plain} with points of the score"
        )
    else:
        draft.unknown(key, str(kind), _GOALS)
