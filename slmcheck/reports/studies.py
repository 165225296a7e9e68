"""Searches and learning curves as rows of finished texts, for every rendering."""

from __future__ import annotations

from collections.abc import Mapping

from slmcheck.records import Json, LearningCurveRecord, SearchRecord, TrialRecord
from slmcheck.reports import units
from slmcheck.reports.text import counted, one_line

_ORDER = {"complete": 0, "pruned": 1, "failed": 2}


def trial_header(search: SearchRecord) -> tuple[str, ...]:
    """Names of the columns of `trial_rows`."""
    return ("trial", *map(one_line, _fields(search)), one_line(search.metric), "state")


def trial_rows(search: SearchRecord) -> tuple[tuple[str, ...], ...]:
    """The trials, the best first, then those that were ended early, then those that failed."""
    sign = -1.0 if search.higher_is_better else 1.0
    ordered = sorted(search.trials, key=lambda item: (_ORDER[item.state], sign * (item.value or 0.0), item.number))
    return tuple(_trial(trial, _fields(search)) for trial in ordered)


def search_message(search: SearchRecord) -> str:
    """What a reader should take away of a search."""
    best = search.best
    states = [trial.state for trial in search.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in _ORDER if state in states)
    done = f"{counted(len(states), 'trial')} ({counts})"
    if best is None or best.value is None:
        return f"{done}; none was completed."
    chosen = ", ".join(f"{name} {_text(value)}" for name, value in best.values.items())
    return one_line(f"Trial {best.number} of {done} was best: {search.metric} {best.value:.4f} with {chosen}.", 400)


def curve_rows(curve: LearningCurveRecord) -> tuple[tuple[str, ...], ...]:
    """Rows, score and interval of each part of the training rows."""
    return tuple(
        (f"{point.rows:,}", units.value(point.value, curve.unit), units.interval(point.low, point.high, curve.unit))
        for point in curve.points
    )


def _fields(search: SearchRecord) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for trial in search.trials for name in trial.values))


def _trial(trial: TrialRecord, names: tuple[str, ...]) -> tuple[str, ...]:
    value = units.ABSENT if trial.value is None else f"{trial.value:.4f}"
    state = f"{trial.state}: {one_line(trial.message, 120)}" if trial.message else trial.state
    return (str(trial.number), *(_text(trial.values.get(name)) for name in names), value, state)


def _text(value: Json) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return one_line(", ".join(f"{name}: {_text(item)}" for name, item in value.items()))
    if isinstance(value, list | tuple):
        return one_line(", ".join(_text(item) for item in value))
    return one_line(str(value))
