"""Scores made from what a test can read: which examples are right, which documents cost how much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from slmcheck.gates import Evidence, MetricInfo, Score, ScoreSource
from slmcheck.records import ExampleEvidence

# The same cases in every session; a busy machine fails none of them.
settings.register_profile("slmcheck", derandomize=True, deadline=None)
settings.load_profile("slmcheck")

Array = NDArray[np.float64]

ACCURACY = MetricInfo(
    name="accuracy", unit="share", interval="wilson", paired="mcnemar", seed_sd=0.005, signature="accuracy|version:1"
)
PERPLEXITY = MetricInfo(
    name="perplexity", higher_is_better=False, scale="log", margin=0.02, margin_kind="relative", seed_sd=0.012
)
MACRO_F1 = MetricInfo(name="f1", unit="share", scale="logit", seed_sd=0.006)
BLEU = MetricInfo(name="bleu", unit="points", margin=0.5)
SIZE = MetricInfo(name="size", higher_is_better=False, unit="bytes", margin=0.02, margin_kind="relative", exact=True)


def mean(sums: Array) -> Array:
    return np.asarray(sums[..., 0] / sums[..., 1])


def exponential_mean(sums: Array) -> Array:
    return np.exp(sums[..., 0] / sums[..., 1])


def macro_f1(sums: Array) -> Array:
    hits, references, predicted = np.split(sums, 3, axis=-1)
    present = references > 0
    total = references + predicted
    by_class = np.where(total > 0, 2.0 * hits / np.where(total > 0, total, 1.0), 0.0)
    return np.asarray((by_class * present).sum(axis=-1) / present.sum(axis=-1))


def show(example_id: str) -> ExampleEvidence:
    return ExampleEvidence(id=example_id, prompt=f"prompt of {example_id}", reference="yes", answer="new answer")


def ids_of(count: int) -> tuple[str, ...]:
    return tuple(f"ex{number:04d}" for number in range(count))


def rate(
    right: Sequence[bool] | NDArray[np.bool_],
    name: str = "lora",
    *,
    metric: MetricInfo = ACCURACY,
    ids: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    hashes: Sequence[str] | None = None,
    remeasure: Callable[[], Evidence | None] | None = None,
    **source: object,
) -> Score:
    """A score of 0/1 examples; each name is a training of its own."""
    column = np.asarray(right, dtype=np.float64)
    evidence = Evidence(
        example_ids=tuple(ids) if ids is not None else ids_of(len(column)),
        statistics=np.stack([column, np.ones_like(column)], axis=-1),
        columns=("sum", "count"),
        value_of_sum=mean,
        groups=tuple(groups) if groups is not None else None,
        reference_hashes=tuple(hashes) if hashes is not None else None,
        answers=tuple(f"answer of {name}" for _ in column),
        show=show,
        remeasure=remeasure,
    )
    settings: dict[str, object] = {"run_key": name, "checkpoint_key": name, **source}
    return Score(evidence.value, metric=metric, source=replace(ScoreSource(name=name), **settings), evidence=evidence)


def documents(nats: Array, tokens: Array, name: str = "lora", metric: MetricInfo = PERPLEXITY) -> Score:
    """The perplexity of documents."""
    evidence = Evidence(
        example_ids=ids_of(len(nats)),
        statistics=np.stack([nats, tokens], axis=-1),
        columns=("nll", "tokens"),
        value_of_sum=exponential_mean,
    )
    return Score(evidence.value, metric=metric, source=ScoreSource(name=name, run_key=name), evidence=evidence)


def classes(references: NDArray[np.intp], predicted: NDArray[np.intp], name: str = "lora", *, labels: int = 3) -> Score:
    """Macro-F1 of class numbers."""
    rows = np.arange(len(references))
    table = np.zeros((len(references), 3, labels))
    table[rows, 1, references] = 1.0
    table[rows, 2, predicted] = 1.0
    table[rows, 0, references] = references == predicted
    evidence = Evidence(
        example_ids=ids_of(len(references)),
        statistics=table.reshape(len(references), -1),
        columns=tuple(f"{kind}:{label}" for kind in ("hit", "reference", "predicted") for label in range(labels)),
        value_of_sum=macro_f1,
    )
    return Score(evidence.value, metric=MACRO_F1, source=ScoreSource(name=name, run_key=name), evidence=evidence)


def flipped(right: NDArray[np.bool_], *, lost: int, won: int) -> NDArray[np.bool_]:
    """The same examples with the first `lost` right ones wrong and the first `won` wrong ones right."""
    changed = right.copy()
    changed[np.flatnonzero(right)[:lost]] = False
    changed[np.flatnonzero(~right)[:won]] = True
    return changed


class Make:
    """The factories above, for tests to ask for by one fixture."""

    accuracy, perplexity, f1, bleu, size = ACCURACY, PERPLEXITY, MACRO_F1, BLEU, SIZE
    rate = staticmethod(rate)
    documents = staticmethod(documents)
    classes = staticmethod(classes)
    flipped = staticmethod(flipped)
    ids = staticmethod(ids_of)
    mean = staticmethod(mean)

    @staticmethod
    def right(count: int, of: int) -> NDArray[np.bool_]:
        """`count` right examples followed by wrong ones, `of` in all."""
        return np.arange(of) < count

    @staticmethod
    def exact(value: float, name: str = "lora") -> Score:
        """A size in bytes."""
        return Score(value, metric=SIZE, source=ScoreSource(name=name, run_key=name))


@pytest.fixture(scope="session")
def make() -> type[Make]:
    """Factories of scores."""
    return Make
