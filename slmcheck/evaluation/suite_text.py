"""The text of a new test file: what it asserts, and why each number is what it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slmcheck.records import Recipe

_HEADER = '''"""Is {name} good enough?

Thresholds are what a model must beat to be of use; {margins}.
Raise the thresholds once the first scores are known: a gate holds what was reached.
"""

import pytest

from slmcheck import Baseline, Run
'''
_LEVEL = """

{mark}def test_{metric}_beats_the_majority_answer(run: Run) -> None:
    # Always giving the most frequent answer reaches {majority:.3f}{interval} on these {n:,} rows.
    assert run.{metric} >= {threshold:.2f}
"""
_BETTER = """

def test_beats_the_base_model(run: Run) -> None:
    assert run.{metric} {operator} run.base.{metric}
"""
_NO_WORSE = """

@pytest.mark.slm_primary
def test_{metric}_did_not_drop(run: Run, baseline: Baseline) -> None:
    # {reason}
    assert run.{metric} {claim}
"""
_SLICES = """

@pytest.mark.parametrize(
    ("name", "majority"),
    [{cases}],
)
def test_every_slice_beats_the_majority_answer(run: Run, name: str, majority: float) -> None:
    assert run.slice(name).accuracy >= majority
"""
_GAP = """

def test_does_not_overfit(run: Run) -> None:
    # {reason}
    assert run.gap("{metric}") - run.base.gap("{metric}") <= {limit}
"""
_WANTED_GAP = 0.10
_LOSS_GAP = "Nats a token. How losses vary is not known before the first run: its report shows the interval of the gap."


@dataclass(frozen=True, kw_only=True)
class Level:
    """What the most frequent training answer reaches on the evaluation rows, or on a slice of them."""

    metric: str
    slice_name: str | None
    majority: float
    low: float | None
    high: float | None
    n: int

    @property
    def threshold(self) -> float:
        """The next hundredth above the majority answer, .99 at most; the release policy asks for proof of it."""
        return min(0.99, (math.floor(100 * self.majority + 1e-9) + 1) / 100)


@dataclass(frozen=True, kw_only=True)
class GapBound:
    """How much more a model may know of its training rows than of the evaluation rows, beyond the base model."""

    provable: float
    """Smallest bound that a model without any gap is proven to keep four times out of five."""
    train: int
    """Training rows that the gap is measured on."""
    evaluation: int

    @property
    def limit(self) -> float:
        """Ten points, or what these rows can prove, rounded up to .01."""
        return max(_WANTED_GAP, math.ceil(100 * self.provable - 1e-9) / 100)

    @property
    def reason(self) -> str:
        """Why the limit is what it is, for a comment."""
        size = f"{self.train:,} training and {self.evaluation:,} test rows"
        if self.provable <= _WANTED_GAP:
            return f"Ten points, which {size} can prove (they could prove {self.provable:.3f})."
        return f"What {size} can prove of a model without a gap; ten points would need more rows."


def suite_text(
    recipe: Recipe, *, primary: str, levels: Sequence[Level], margin: float, rows: int | None, gap: GapBound | None
) -> str:
    """The test file of a new suite.

    Args:
        recipe: The recipe beside it.
        primary: The metric that decides a release.
        levels: Majority scores of the whole split and of slices.
        margin: How much worse than the baseline a score may be.
        rows: Rows of the evaluation split; None where they are not at hand.
        gap: The bound of the overfitting gap in accuracy; None where it is one of losses, or without training rows.
    """
    margins = "margins are those of the metrics" if rows is None else f"margins are what {rows:,} rows can prove"
    lower_is_better = primary in ("perplexity", "loss")
    parts = [_HEADER.format(name=recipe.name.partition("/")[0], margins=margins)]
    parts += [_level(level, primary) for level in levels if level.slice_name is None]
    if recipe.task != "sequence_classification":
        parts.append(_BETTER.format(metric=primary, operator="<" if lower_is_better else ">"))
    if lower_is_better:
        claim, reason = (
            f"<= baseline.{primary} * {1 + margin:.2f}",
            f"{100 * margin:.2g} % is the margin of the metric.",
        )
    else:
        points = f"{margin:.2f}" if round(margin, 2) == margin else f"{margin:g}"
        claim = f">= baseline.{primary} - {points}"
        reason = (
            "The margin of the metric; slmcheck plan tells whether the rows can prove it."
            if rows is None
            else f"The margin within which {rows:,} rows prove an unchanged model four times out of five."
        )
    parts.append(_NO_WORSE.format(metric=primary, claim=claim, reason=reason))
    slices = [level for level in levels if level.slice_name is not None]
    if slices:
        cases = ", ".join(f'("{level.slice_name}", {_floor(level.majority):.2f})' for level in slices)
        parts.append(_SLICES.format(cases=cases))
    if gap is not None:
        parts.append(_GAP.format(metric="accuracy", limit=f"{gap.limit:.2f}", reason=gap.reason))
    elif recipe.task != "sequence_classification" and recipe.data.train:
        parts.append(_GAP.format(metric="loss", limit="0.15", reason=_LOSS_GAP))
    return "".join(parts)


def _level(level: Level, primary: str) -> str:
    has_interval = level.low is not None and level.high is not None
    interval = f" (95 % CI {level.low:.3f} .. {level.high:.3f})" if has_interval else ""
    return _LEVEL.format(
        mark="@pytest.mark.slm_primary\n" if level.metric == primary else "",
        metric=level.metric,
        majority=level.majority,
        interval=interval,
        n=level.n,
        threshold=level.threshold,
    )


def _floor(value: float) -> float:
    return math.floor(100 * value + 1e-9) / 100
