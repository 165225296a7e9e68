"""What diagnosis reads: a run, its rows, its history and what it answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from slmcheck.data import Splits
from slmcheck.diagnosis.row_history import Floats, RowHistory
from slmcheck.records import Finding, HistoryPoint, Prediction, Recipe, Resources


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What one model answered to some rows, and how good each answer is."""

    predictions: tuple[Prediction, ...]
    values: Floats
    """Goodness of each answer, larger is better: 0 to 1, or minus the nats a token; shape (rows,)."""

    def of(self, ids: frozenset[str]) -> Answers:
        """The answers to some of the rows."""
        kept = [place for place, found in enumerate(self.predictions) if found.id in ids]
        return Answers(predictions=tuple(self.predictions[place] for place in kept), values=self.values[kept])

    @property
    def ids(self) -> tuple[str, ...]:
        """Example ids, in order."""
        return tuple(found.id for found in self.predictions)

    @property
    def is_binary(self) -> bool:
        """Whether every answer is either right or wrong."""
        return bool(np.isin(self.values, (0.0, 1.0)).all())


@dataclass(frozen=True, kw_only=True, eq=False)
class Continued:
    """How often texts were continued word for word: training rows against held-out rows."""

    train: Floats
    """1 where the continuation is verbatim; shape (rows,)."""
    held_out: Floats
    examples: tuple[str, ...] = ()
    """Ids of training rows that were recited."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """Everything that diagnosis looks at; what is None was not asked and is not judged."""

    recipe: Recipe
    splits: Splits
    metric: str
    """Name of the metric that `values` are of."""
    unit: str = "share"
    """`share` for values of 0 to 1, `nats` for minus nats a token."""
    history: tuple[HistoryPoint, ...] = ()
    best_step: int | None = None
    last_step: int | None = None
    rows: RowHistory | None = None
    evaluation: Answers | None = None
    """Of the evaluation split."""
    train: Answers | None = None
    """Of a fixed part of the training rows."""
    base: Answers | None = None
    """Of the base model, to the evaluation split."""
    trivial: Mapping[str, Answers] = field(default_factory=dict)
    """Answers without any training of the model, to the evaluation split: majority, tf-idf, copy, nearest."""
    reloaded: Answers | None = None
    """Of the stored weights, to validation rows, asked for the likelihood of the reference."""
    changed_prompts: Mapping[str, Answers] = field(default_factory=dict)
    """Kind of change of the prompt -> answers to rows of the evaluation split that were changed so."""
    continued: Continued | None = None
    unparsable: Floats | None = None
    """1 where the answer cannot be read; shape of the evaluation split. None where every answer can."""
    early: tuple[Finding, ...] = ()
    """What the checks of rows and of the model found around the training."""
    resources: Resources = field(default_factory=Resources)
    threads: int = 1
    machine_bytes: int | None = None
    """Memory of the machine that trained."""
    failure: str = ""
    """What was said when the training ended without a result."""
    failure_kind: str = ""
    """Name of its class in `slmcheck.errors`."""

    @property
    def is_share(self) -> bool:
        """Whether values are shares."""
        return self.unit == "share"

    @property
    def is_classification(self) -> bool:
        """Whether answers are labels."""
        return self.recipe.task in ("classification", "sequence_classification")
