"""What came of training more than once: trials of a search, points of a learning curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from slmcheck.records.codec import Json

TrialState = Literal["complete", "pruned", "failed"]
CurveVerdict = Literal["more-data-helps", "capacity-limited", "saturated", "undecided"]


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One training of a search."""

    number: int
    """Place in the search, from 1."""
    values: Mapping[str, Json]
    """Fields of the recipe and what they were set to."""
    state: TrialState
    """`pruned` was ended early because others did better at the same point; `failed` ended with an error."""
    value: float | None = None
    """What the search looks at; of a pruned trial the last validation loss; None for a failed one."""
    run_key: str = ""
    """Key of its run."""
    message: str = ""
    """Why it failed, in one line."""


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """A search and its trials so far."""

    metric: str
    """What the best trial is best in, measured on the validation rows."""
    higher_is_better: bool
    """Direction of the metric."""
    sampler: str
    """`tpe` or `random`."""
    num_trials: int
    """Trials that the recipe asks for."""
    trials: tuple[TrialRecord, ...] = ()
    """In the order of their numbers."""

    @property
    def is_complete(self) -> bool:
        """Whether every trial was carried out."""
        return len(self.trials) >= self.num_trials

    @property
    def best(self) -> TrialRecord | None:
        """The best complete trial, the earliest of equals; None where there is none."""
        complete = [trial for trial in self.trials if trial.state == "complete" and trial.value is not None]
        sign = -1.0 if self.higher_is_better else 1.0
        return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)


@dataclass(frozen=True, kw_only=True)
class ChangeRecord:
    """A change of a score with its 90 % interval, oriented: positive is better.

    In the unit of the metric; of perplexities the logarithm of the ratio.
    """

    value: float
    """The change."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end of its interval."""


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One training on part of the rows."""

    fraction: float
    """Share of the training rows."""
    rows: int
    """Training rows."""
    value: float
    """Score of the evaluation split."""
    low: float | None = None
    """Lower end of its 95 % interval."""
    high: float | None = None
    """Upper end of its 95 % interval."""
    run_key: str = ""
    """Key of its run."""


@dataclass(frozen=True, kw_only=True)
class LearningCurveRecord:
    """Scores of one recipe on nested parts of its training rows."""

    metric: str
    """Name of the metric."""
    unit: str
    """As in a verdict."""
    higher_is_better: bool
    """Direction of the metric."""
    points: tuple[CurvePoint, ...]
    """From the smallest part to all rows."""
    gains: tuple[ChangeRecord, ...]
    """What each doubling of the rows brought, on the same evaluation rows."""
    expected_gain: ChangeRecord | None
    """What the next doubling would bring, if gains go on shrinking as they did; None where one part is missing."""
    train_value: float
    """Score of the whole run on its own training rows."""
    target: float | None
    """What the score should reach; None where nobody said it."""
    verdict: CurveVerdict
    """What limits the score."""
    summary: str
    """The verdict in a sentence."""
    notes: tuple[str, ...] = field(default=())
    """What limits the study: a budget that ended it, few rows."""
