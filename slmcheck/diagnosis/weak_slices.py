"""Slices on which the answers are weaker than on the other rows: the recipe's, and those that rows suggest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slmcheck.data.leaks import input_text
from slmcheck.diagnosis import thresholds
from slmcheck.diagnosis.estimates import Floats, difference, level, mean_of, points
from slmcheck.diagnosis.observed import Observed
from slmcheck.records import Example, Finding, Prediction, ScoreRecord
from slmcheck.statistics import holm, t_cdf

MOST_VALUES = 12
"""A field with more different values is no source."""
SHOWN = 5


@dataclass(frozen=True, eq=False)
class SliceScore:
    """One slice against the other rows."""

    name: str
    inside: Floats
    """True for its rows; shape (rows,)."""
    p_value: float
    """One-sided, of the hypothesis that it is no weaker."""


def weak_slices(seen: Observed) -> Iterator[Finding]:
    """The slices that are weaker beyond chance, corrected for how many were looked at."""
    if seen.evaluation is None or not seen.is_share:
        return
    values, predictions = seen.evaluation.values, seen.evaluation.predictions
    tested = slice_scores(seen)
    if not tested:
        return
    survives = holm([one.p_value for one in tested])
    found = []
    for one, is_weak in zip(tested, survives, strict=True):
        less = difference(values[~one.inside.astype(bool)], values[one.inside.astype(bool)])
        if is_weak and less.value >= thresholds.WEAK_SLICE:
            found.append((one, less))
    if not found:
        return
    found.sort(key=lambda item: -item[1].value)
    worst, less = found[0]
    inside = worst.inside.astype(bool)
    yield Finding(
        cause="weak-slices",
        severity="warning",
        summary=f"{len(found)} of {len(tested)} slices {'is' if len(found) == 1 else 'are'} weaker than the others; "
        f"the weakest is '{worst.name}' by {points(less, 'share', signed=False)}.",
        evidence=tuple(
            f"{one.name}: {level(mean_of(values[one.inside.astype(bool)]), 'share')} over "
            f"{int(one.inside.sum())} rows, p {one.p_value:.2g}"
            for one, _ in found[:SHOWN]
        ),
        numbers=tuple(
            mean_of(values[one.inside.astype(bool)]).number(f"{seen.metric} of {one.name}") for one, _ in found
        ),
        remedy="Add training rows like these, and gate the slice under data.slices, so that it is seen next time.",
        next_experiment=f"slmcheck diagnose {seen.recipe.name} --learning-curve",
        examples=tuple(one.id for one, bad, at in zip(predictions, values < 0.5, inside, strict=True) if bad and at)[
            :20
        ],
    )


def slice_scores(seen: Observed) -> list[SliceScore]:
    """Every slice that has rows enough, with the p-value that it is no weaker than the rest."""
    if seen.evaluation is None:
        return []
    values = seen.evaluation.values
    found: list[SliceScore] = []
    known: set[bytes] = set()
    for name, inside in _candidates(seen, seen.evaluation.predictions):
        count, rows = int(inside.sum()), inside.tobytes()
        if rows in known:
            continue  # the recipe's name for these rows came first
        known.add(rows)
        if count < thresholds.SLICE_ROWS or len(values) - count < thresholds.SLICE_ROWS:
            continue
        found.append(SliceScore(name, inside, _welch(values[~inside.astype(bool)], values[inside.astype(bool)])))
    return found


def slice_records(seen: Observed) -> tuple[ScoreRecord, ...]:
    """Every slice with rows enough, as a report shows it."""
    if seen.evaluation is None:
        return ()
    values = seen.evaluation.values
    found = []
    for one in slice_scores(seen):
        mean = mean_of(values[one.inside.astype(bool)])
        found.append(
            ScoreRecord(
                metric=seen.metric,
                value=mean.value,
                low=mean.low,
                high=mean.high,
                n=int(one.inside.sum()),
                unit=seen.unit if seen.is_share else "",
                split=seen.splits.evaluation_split(seen.recipe),
                slice=one.name,
            )
        )
    return tuple(found)


def _welch(rest: Floats, inside: Floats) -> float:
    """One-sided p of the hypothesis that the mean of `inside` is not below that of `rest`; Welch 1947."""
    # One half success and one half failure more keep the variance of an all-right slice from being zero.
    variances = [(float(np.square(part - part.mean()).sum()) + 0.25) / len(part) / len(part) for part in (rest, inside)]
    error = math.sqrt(sum(variances))
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / (len(rest) - 1) + variances[1] ** 2 / (len(inside) - 1))
    return 1.0 - t_cdf(float(rest.mean() - inside.mean()) / error, freedom)


def _candidates(seen: Observed, predictions: Sequence[Prediction]) -> Iterator[tuple[str, Floats]]:
    for name in seen.recipe.data.slices:
        yield name, np.array([float(name in found.slices) for found in predictions])
    if seen.is_classification:
        for label in seen.splits.labels:
            yield f"label {label}", np.array([float(found.reference == label) for found in predictions])
    lengths = np.array([len(input_text(_example(found)).split()) for found in predictions])
    low, high = np.quantile(lengths, [0.25, 0.75])
    yield f"short prompts (at most {low:.0f} words)", (lengths <= low).astype(np.float64)
    yield f"long prompts (from {high:.0f} words)", (lengths >= high).astype(np.float64)
    yield from _sources(seen, predictions)


def _example(found: Prediction) -> Example:
    return Example(id=found.id, row=found.row, prompt=found.prompt, answer=found.reference)


def _sources(seen: Observed, predictions: Sequence[Prediction]) -> Iterator[tuple[str, Floats]]:
    """Fields of the rows with few values, such as a source or a language; never the answer itself."""
    data = seen.recipe.data
    skipped = {data.answer, data.references, data.id}
    for name in dict.fromkeys(key for found in predictions[:50] for key in found.row):
        values = [found.row.get(name) for found in predictions]
        if name in skipped or not all(isinstance(value, str | bool | int) for value in values):
            continue
        counts = Counter(str(value) for value in values)
        if not 2 <= len(counts) <= MOST_VALUES:
            continue
        for value in sorted(counts):
            yield f"{name} {value}", np.array([float(str(one) == value) for one in values])
