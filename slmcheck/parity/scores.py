"""Parity scores: from the differences of two models to values that a suite compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from slmcheck.errors import UndefinedScoreError, UnknownMetricError
from slmcheck.gates import Evidence, MetricInfo, Score, ScoreSource
from slmcheck.parity.comparing import ParityRows
from slmcheck.records import ExampleEvidence, Prediction

CACHE_VERSION = 1
"""Changes when the same two models and rows would give other scores."""
Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class ParityScore:
    """One way to say how far two models agree."""

    info: MetricInfo
    columns: tuple[str, ...] = ()
    statistics: Callable[[ParityRows], Array] | None = None
    """Statistics of every example, (examples, columns); None: it is made from answers, see `agreement`."""
    value_of_sum: Callable[[Array], Array] | None = None


def _mean(sums: Array) -> Array:
    return np.divide(sums[..., 0], sums[..., 1])


def _exponential_of_mean(sums: Array) -> Array:
    return np.exp(_mean(sums))


def _relative_mean(sums: Array) -> Array:
    count = sums[..., 1]
    variance = sums[..., 3] / count - np.square(sums[..., 2] / count)
    return np.divide(sums[..., 0] / count, np.sqrt(variance))


def _first(sums: Array) -> Array:
    return np.asarray(sums[..., 0])


def _columns(*names: str) -> Callable[[ParityRows], Array]:
    return lambda rows: np.stack([rows.column(name) for name in names], axis=1)


def _largest(rows: ParityRows) -> Array:
    """The example with the largest difference contributes all of it, so that the sum is the maximum."""
    relative = rows.column("largest") / rows.spread
    values = np.zeros((len(relative), 1))
    values[int(relative.argmax()), 0] = relative.max()
    return values


def _nll_differences(rows: ParityRows) -> Array:
    scored = rows.column("scored")
    counted = (scored > 0).astype(np.float64)
    change = (rows.column("other_nll") - rows.column("reference_nll")) / np.maximum(1.0, scored)
    return np.stack([change * counted, counted], axis=1)


SCORES: Mapping[str, ParityScore] = {
    "agreement": ParityScore(
        MetricInfo(name="agreement", unit="share", margin=0.01, interval="clopper_pearson", paired="mcnemar")
    ),
    "top1": ParityScore(
        MetricInfo(name="top1", unit="share", margin=0.01), ("sum", "count"), _columns("same_top", "tokens"), _mean
    ),
    "logit_max": ParityScore(
        MetricInfo(
            name="logit_max", unit="ratio", higher_is_better=False, margin=0.1, margin_kind="relative",
            interval="none", paired="none", exact=True,
        ),
        ("max",), _largest, _first,
    ),
    "logit_mean": ParityScore(
        MetricInfo(name="logit_mean", unit="ratio", higher_is_better=False, margin=0.1, margin_kind="relative"),
        ("absolute", "logits", "total", "squares"),
        _columns("absolute", "logits", "total", "squares"),
        _relative_mean,
    ),
    "kl": ParityScore(
        MetricInfo(name="kl", unit="nats", higher_is_better=False, margin=0.1, margin_kind="relative"),
        ("sum", "count"), _columns("kl", "tokens"), _mean,
    ),
    "perplexity_ratio": ParityScore(
        MetricInfo(name="perplexity_ratio", unit="ratio", higher_is_better=False, margin=0.01, scale="log"),
        ("sum", "count"), _nll_differences, _exponential_of_mean,
    ),
}  # fmt: skip
"""In the order of a report.

    agreement         share of examples with the same final answer
    top1              share of tokens after which both give the same most likely token
    logit_max         largest difference of a logit, in standard deviations of the reference's logits
    logit_mean        mean difference, likewise
    kl                mean Kullback-Leibler divergence of the next-token distributions, in nats a token
    perplexity_ratio  exp of the mean over examples of the change in negative log-likelihood a token of the answer
"""


def score(name: str, rows: ParityRows, source: ScoreSource) -> Score:
    """A score of compared models.

    Args:
        name: One of `SCORES` but `agreement`.
        rows: The comparison.
        source: Whose score it is: the export's.

    Raises:
        UnknownMetricError: If there is no such score.
        UndefinedScoreError: If it has no value: no token of an answer was compared.
    """
    wanted = SCORES.get(name)
    if wanted is None or wanted.statistics is None or wanted.value_of_sum is None:
        others = [known for known in SCORES if SCORES[known].statistics is not None]
        raise UnknownMetricError(f"'{name}' is no score of compared logits.\nThere are: {', '.join(others)}.")
    if rows.spread == 0:
        raise UndefinedScoreError(
            f"{name} of {source.name} has no value: the logits of the reference are all equal.\n"
            "Its weights are damaged: slmcheck cache verify"
        )
    statistics = wanted.statistics(rows)
    if name == "perplexity_ratio" and not statistics[:, 1].any():
        raise UndefinedScoreError(f"{name} of {source.name} has no value: no row has a token of an answer.")
    evidence = Evidence(
        example_ids=rows.example_ids,
        statistics=statistics,
        columns=wanted.columns,
        value_of_sum=wanted.value_of_sum,
    )
    return Score(evidence.value, metric=wanted.info, source=source, evidence=evidence)


def agreement(
    reference: Sequence[Prediction],
    other: Sequence[Prediction],
    source: ScoreSource,
    *,
    show: Callable[[str], ExampleEvidence] | None = None,
) -> Score:
    """Share of examples to which two checkpoints give the same final answer; range [0, 1], higher is better.

    Args:
        reference: Predictions of the checkpoint that is right by definition.
        other: Those of the checkpoint that is to agree, of the same examples.
        source: Whose score it is: the export's.
        show: Example id to its text, for failure messages.

    Raises:
        UndefinedScoreError: If there are no examples, they are not the same, or they have no answers.
    """
    answers = {prediction.id: prediction.prediction for prediction in reference}
    ids = tuple(prediction.id for prediction in other)
    if not ids or set(ids) != set(answers):
        raise UndefinedScoreError(
            f"agreement of {source.name} has no value: {len(answers)} and {len(ids)} predictions of other examples.\n"
            "Both checkpoints must have answered the same examples."
        )
    if any(answer is None for answer in answers.values()) or any(one.prediction is None for one in other):
        raise UndefinedScoreError(
            f"agreement of {source.name} has no value: the task '{source.task}' has no answers.\n"
            "Use kl, top1 or perplexity_ratio."
        )
    same = np.asarray([float(one.prediction == answers[one.id]) for one in other])
    evidence = Evidence(
        example_ids=ids,
        statistics=np.stack([same, np.ones_like(same)], axis=1),
        columns=("sum", "count"),
        value_of_sum=_mean,
        groups=tuple(one.group or one.id for one in other) if any(one.group for one in other) else None,
        answers=tuple(one.prediction or "" for one in other),
        show=show,
    )
    return Score(evidence.value, metric=SCORES["agreement"].info, source=source, evidence=evidence)
