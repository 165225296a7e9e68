"""Metrics of short written answers: the same text, or the same words."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from slmcheck.gates import MetricInfo
from slmcheck.metrics.definition import (
    ANSWERS,
    GENERATED,
    Metric,
    Statistics,
    mean_of_sum,
    mean_statistics,
    with_references,
)
from slmcheck.records import Prediction

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad_normalised(text: str) -> str:
    """Lower case without punctuation, English articles and runs of white space.

    Source: SQuAD evaluation script 1.1, normalize_answer.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def best_mean(name: str, predictions: Sequence[Prediction], similarity: Callable[[str, str], float]) -> Statistics:
    """Statistics of a mean over rows of the best similarity of an answer with a reference; a missing answer scores 0.

    Raises:
        UndefinedScoreError: If there are no predictions, or one has no reference.
    """
    with_references(name, predictions)
    return mean_statistics(
        0.0 if item.prediction is None else max(similarity(item.prediction, reference) for reference in item.references)
        for item in predictions
    )


def exact_match_score(*, normalise: bool = False) -> Metric:
    """Share of answers equal to one of their references, without surrounding white space; 0..1, higher is better.

    Args:
        normalise: Whether case, punctuation and English articles are ignored (SQuAD).
    """
    name = "exact_match_normalised" if normalise else "exact_match"

    def same(answer: str, reference: str) -> float:
        if normalise:
            return float(squad_normalised(answer) == squad_normalised(reference))
        return float(answer.strip() == reference.strip())

    return Metric(
        info=MetricInfo(
            name=name,
            unit="share",
            interval="wilson",
            paired="mcnemar",
            signature=f"exact_match|text:{'squad' if normalise else 'stripped'}|version:1",
        ),
        statistics=lambda predictions: best_mean(name, predictions, same),
        value_of_sum=mean_of_sum,
        needs=ANSWERS,
        answers_only=True,
        description="Share of answers equal to one of their references; 0..1, higher is better.",
    )


def token_overlap(answer: str, reference: str) -> float:
    """F1 of the words that two texts share; 1 for two texts without words, 0 when only one has none.

    Source: SQuAD evaluation script 2.0, compute_f1.
    """
    given, expected = squad_normalised(answer).split(), squad_normalised(reference).split()
    if not given or not expected:
        return float(given == expected)
    common = sum((Counter(given) & Counter(expected)).values())
    return 2.0 * common / (len(given) + len(expected))


def token_f1_named(name: str) -> Metric:
    """Token F1 under another name: it is the `f1` of a generation."""
    return Metric(
        info=MetricInfo(name=name, unit="share", signature="token_f1|text:squad|average:rows|version:1"),
        statistics=lambda predictions: best_mean(name, predictions, token_overlap),
        value_of_sum=mean_of_sum,
        needs=GENERATED,
        answers_only=True,
        description="Mean F1 of the words that answer and best reference share, normalised as SQuAD does; 0..1, higher "
        "is better. Source: SQuAD evaluation script 2.0.",
    )


exact_match = exact_match_score()
token_f1 = token_f1_named("token_f1")
