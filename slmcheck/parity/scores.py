"""Parity scores: from the differences of two models to values that a suite compares."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from slmcheck.errors import UndefinedScoreError, UnknownMetricError
from slmcheck.gates import Evidence, MetricInfo, Score, ScoreSource, Unit
from slmcheck.parity.comparing import ParityRows
from slmcheck.records import ExampleEvidence, Prediction

CACHE_VERSION = 3
"""Changes when the same two models and rows would give other scores."""
Array: TypeAlias = NDArray[np.float64]
QUANTILE, NEAR = 0.99, 0.005
"""Of the divergences of single tokens, and how far on both sides their density is taken."""


@dataclass(frozen=True)
class ParityScore:
    """One way to say how far two models agree."""

    info: MetricInfo
    columns: tuple[str, ...] = ()
    statistics: Callable[[ParityRows], Array] | None = None
    """Statistics of every example, (examples, columns); None: answers or texts make it."""
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
    return _only_the_largest(relative)


def _largest_kl(rows: ParityRows) -> Array:
    return _only_the_largest(rows.column("kl_largest"))


def _only_the_largest(values: Array) -> Array:
    kept = np.zeros((len(values), 1))
    kept[int(values.argmax()), 0] = values.max()
    return kept


def _quantile_of_kl(rows: ParityRows) -> Array:
    """Each example's influence on the quantile over all tokens, shifted so that their mean is the quantile."""
    kl = np.concatenate([row.kl for row in rows.rows])
    low, quantile, high = np.quantile(kl, [QUANTILE - NEAR, QUANTILE, QUANTILE + NEAR])
    spacing = (high - low) / (2.0 * NEAR)  # 1 / density
    tokens = rows.column("tokens")
    beyond = np.asarray([(row.kl > quantile).sum() for row in rows.rows], dtype=np.float64)
    moved = (beyond - beyond.sum() / tokens.sum() * tokens) * spacing
    return np.stack([quantile * tokens + moved, tokens], axis=1)


def _nll_differences(rows: ParityRows) -> Array:
    scored = rows.column("scored")
    counted = (scored > 0).astype(np.float64)
    change = (rows.column("other_nll") - rows.column("reference_nll")) / np.maximum(1.0, scored)
    return np.stack([change * counted, counted], axis=1)


def _distance(name: str, unit: Unit, *, exact: bool = False) -> MetricInfo:
    """How a score of distance is compared; the largest one of all tokens has no sampling error that can be stated."""
    info = MetricInfo(
        name=name,
        unit=unit,
        higher_is_better=False,
        margin=0.1,
        margin_kind="relative",
        bounds=(0.0, sys.float_info.max),
    )
    return replace(info, interval="none", paired="none", exact=True) if exact else info


SCORES: Mapping[str, ParityScore] = {
    "agreement": ParityScore(
        MetricInfo(name="agreement", unit="share", margin=0.01, interval="clopper_pearson", paired="mcnemar")
    ),
    "top1": ParityScore(
        MetricInfo(name="top1", unit="share", margin=0.01), ("sum", "count"), _columns("same_top", "tokens"), _mean
    ),
    "top5": ParityScore(
        MetricInfo(name="top5", unit="share", margin=0.01), ("sum", "count"), _columns("same_top5", "tokens"), _mean
    ),
    "logit_max": ParityScore(_distance("logit_max", "ratio", exact=True), ("max",), _largest, _first),
    "logit_mean": ParityScore(
        _distance("logit_mean", "ratio"),
        ("absolute", "logits", "total", "squares"),
        _columns("absolute", "logits", "total", "squares"),
        _relative_mean,
    ),
    "kl": ParityScore(_distance("kl", "nats"), ("sum", "count"), _columns("kl_sum", "tokens"), _mean),
    "kl_p99": ParityScore(_distance("kl_p99", "nats"), ("sum", "count"), _quantile_of_kl, _mean),
    "kl_max": ParityScore(_distance("kl_max", "nats", exact=True), ("max",), _largest_kl, _first),
    "perplexity_ratio": ParityScore(
        MetricInfo(name="perplexity_ratio", unit="ratio", higher_is_better=False, margin=0.01, scale="log"),
        ("sum", "count"), _nll_differences, _exponential_of_mean,
    ),
    "divergence": ParityScore(
        MetricInfo(
            name="divergence", unit="share", higher_is_better=False, margin=0.01, interval="clopper_pearson",
            paired="mcnemar",
        )
    ),
}  # fmt: skip
"""In the order of a report.

    agreement         share of examples with the same final answer
    top1              share of tokens after which both give the same most likely token
    top5              share of the five most likely tokens that both have in common
    logit_max         largest difference of a logit, in standard deviations of the reference's logits
    logit_mean        mean difference, likewise
    kl                mean Kullback-Leibler divergence of the next-token distributions, in nats a token
    kl_p99, kl_max    its 99 % quantile over tokens, and the largest of a token
    perplexity_ratio  exp of the mean over examples of the change in negative log-likelihood a token of the answer
    divergence        share of greedy texts that part; of tasks that write texts
"""
LOGIT_SCORES = tuple(name for name, known in SCORES.items() if known.statistics is not None)
"""The scores that one pass over the logits of two models gives."""


def score(name: str, rows: ParityRows, source: ScoreSource) -> Score:
    """A score of compared models.

    Args:
        name: One of `LOGIT_SCORES`.
        rows: The comparison.
        source: Whose score it is: the export's.

    Raises:
        UnknownMetricError: If there is no such score.
        UndefinedScoreError: If it has no value: no token of an answer was compared.
    """
    wanted = SCORES.get(name)
    if wanted is None or wanted.statistics is None or wanted.value_of_sum is None:
        raise UnknownMetricError(f"'{name}' is no score of compared logits.\nThere are: {', '.join(LOGIT_SCORES)}.")
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
        groups=rows.groups,
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
