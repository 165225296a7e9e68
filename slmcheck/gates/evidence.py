"""What a score carries, so that it can be judged: its metric, whose it is, and what each example contributed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slmcheck.errors import ComparisonError
from slmcheck.records import ExampleEvidence
from slmcheck.records.disclosure import Disclosure
from slmcheck.statistics import Linearised, Scale, ValueOfSum, cluster_numbers, linearise

Array: TypeAlias = NDArray[np.float64]
Unit = Literal["share", "points", "ratio", "nats", "bits", "count", "bytes", "milliseconds", ""]

RARE_CLASS = 10
"""A class with fewer examples than this is too rare for a linearised interval."""
_REFERENCE_COLUMN = "reference:"


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """What a comparison must know of a metric."""

    name: str
    higher_is_better: bool = True
    unit: Unit = ""
    """`share` is 0..1 and shown in points of a hundred; `points` is 0..100."""
    margin: float = 0.01
    """How much worse `no_worse_than` allows when it is not told."""
    margin_kind: Literal["absolute", "relative"] = "absolute"
    scale: Scale = "identity"
    """On which level intervals are symmetric. Changes of a `log` metric are ratios; all others are differences."""
    interval: Literal["wilson", "clopper_pearson", "influence", "bootstrap", "none"] = "influence"
    paired: Literal["mcnemar", "influence", "none"] = "influence"
    seed_sd: float | None = None
    """Standard deviation between seeds of one recipe, on the scale of changes; None where nobody measured it."""
    signature: str = ""
    exact: bool = False
    """Measured without sampling error: sizes and counts."""
    bounds: tuple[float, float] | None = None
    """Smallest and largest possible value, where the unit does not say it; no interval reaches beyond them."""

    @property
    def change_scale(self) -> Scale:
        """The scale on which two scores are subtracted."""
        return "log" if self.scale == "log" else "identity"

    @property
    def sign(self) -> int:
        """1 where larger is better, else -1."""
        return 1 if self.higher_is_better else -1


@dataclass(frozen=True, kw_only=True)
class ScoreSource:
    """Whose score it is and how it came about."""

    name: str
    """Name of the run, as its user writes it."""
    run_key: str | None = None
    """None where no training of this project made the model: a base model, saved predictions."""
    checkpoint_key: str | None = None
    task: str = ""
    split: str = "test"
    slice: str | None = None
    seeds: int = 1
    """How many seeds the score is the mean of."""
    seed_sd: float | None = None
    """Standard deviation between seeds, pooled over at least three stored ones; on the scale of changes."""
    selected_on_validation: bool = False
    """Whether the checkpoint was selected on the very rows that are scored."""
    notes: tuple[str, ...] = ()
    is_baseline: bool = False
    disclosure: Disclosure = field(default_factory=Disclosure)
    """What may be shown of the examples."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What each example contributed to a score; the score is `value_of_sum` of the column sums."""

    example_ids: tuple[str, ...]
    statistics: Array
    """Shape (examples, K)."""
    columns: tuple[str, ...]
    """Names of the K columns."""
    value_of_sum: ValueOfSum
    """Sums (..., K) to scores (...)."""
    groups: tuple[str, ...] | None = None
    """The document, conversation or source of each example; examples of one group are not independent."""
    reference_hashes: tuple[str, ...] | None = None
    """Digest of each example's reference, so that an edited label is seen."""
    answers: tuple[str, ...] | None = None
    show: Callable[[str], ExampleEvidence] | None = None
    """Example id to its text, for failure messages."""
    remeasure: Callable[[], Evidence | None] | None = None
    """Measures the stored answers of a baseline against today's references; None where answers are not enough."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit the ids.

        Raises:
            ComparisonError: If there are no examples, shapes differ, ids repeat, or a statistic is not finite.
        """
        count = len(self.example_ids)
        if count == 0:
            raise ComparisonError("A score of no examples has no evidence.")
        if self.statistics.shape != (count, len(self.columns)):
            raise ComparisonError(
                f"Evidence has statistics of shape {self.statistics.shape}.\n"
                f"Its {count} example ids and {len(self.columns)} columns need ({count}, {len(self.columns)})."
            )
        for name in ("groups", "reference_hashes", "answers"):
            values: Sequence[str] | None = getattr(self, name)
            if values is not None and len(values) != count:
                raise ComparisonError(f"Evidence has {len(values)} {name} for {count} example ids.")
        if len(set(self.example_ids)) != count:
            repeated = [key for key, times in Counter(self.example_ids).items() if times > 1][:3]
            raise ComparisonError(
                f"Example ids repeat: {', '.join(repeated)}.\nEvery example needs an id of its own to be compared."
            )
        if not np.isfinite(self.statistics).all():
            row = int(np.argwhere(~np.isfinite(self.statistics))[0][0])
            raise ComparisonError(f"The statistics of example {self.example_ids[row]!r} are not finite.")

    def __len__(self) -> int:
        return len(self.example_ids)

    def take(self, positions: NDArray[np.intp]) -> Evidence:
        """The evidence of some examples, in the order of `positions`."""

        def pick(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[index] for index in positions)

        return replace(
            self,
            example_ids=tuple(self.example_ids[index] for index in positions),
            statistics=self.statistics[positions],
            groups=pick(self.groups),
            reference_hashes=pick(self.reference_hashes),
            answers=pick(self.answers),
        )

    @cached_property
    def value(self) -> float:
        """The score of these examples."""
        return float(self.value_of_sum(self.statistics.sum(axis=0)))

    @cached_property
    def position(self) -> dict[str, int]:
        """Row of each example id."""
        return {example_id: row for row, example_id in enumerate(self.example_ids)}

    @cached_property
    def clusters(self) -> NDArray[np.intp] | None:
        """Cluster number of each example; None where examples are independent."""
        return cluster_numbers(self.groups)

    @cached_property
    def binary(self) -> NDArray[np.bool_] | None:
        """Whether each example is right, for means of 0/1 scores; None for everything else."""
        if self.columns != ("sum", "count") or not (self.statistics[:, 1] == 1.0).all():
            return None
        right = self.statistics[:, 0]
        return right == 1.0 if ((right == 0.0) | (right == 1.0)).all() else None

    @cached_property
    def rare_classes(self) -> dict[str, int]:
        """Classes that occur in the references, but fewer than ten times, with their counts."""
        totals = self.statistics.sum(axis=0)
        return {
            column.removeprefix(_REFERENCE_COLUMN): int(total)
            for column, total in zip(self.columns, totals, strict=True)
            if column.startswith(_REFERENCE_COLUMN) and 0 < total < RARE_CLASS
        }

    def linearised(self, scale: Scale) -> Linearised:
        """The score and its influence values; see `slmcheck.statistics.linearise`."""
        return linearise(self.value_of_sum, self.statistics, scale)


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurement:
    """A score with all it carries, as the judging functions read it."""

    value: float
    metric: MetricInfo
    source: ScoreSource
    evidence: Evidence | None = None
    known_interval: tuple[float, float] | None = None
    """A 95 % interval that the metric made itself; the only one where there is no evidence."""
    known_count: int | None = None
    train: Evidence | None = None
    """For a gap: the evidence of the training rows; `evidence` is that of the evaluation split."""
    parts_metric: MetricInfo | None = None
    """For a gap: the metric of its two parts."""

    @property
    def n(self) -> int:
        """Examples behind the score; 0 where they are not known."""
        if self.evidence is None:
            return self.known_count or 0
        return len(self.evidence)

    @property
    def label(self) -> str:
        """How the score is written in a suite: `lora.slice("short").accuracy`."""
        part = f'.slice("{self.source.slice}")' if self.source.slice is not None else ""
        return f"{self.source.name}{part}.{self.metric.name}"
