"""BLEU, chrF and TER as sacrebleu defines them.

sacrebleu tokenizes and counts, once; the score of any sum of counts is computed here, for many sums at once, and equals
sacrebleu's to the last digits. sacrebleu is imported when predictions are measured, not when a stored score is read.
A missing answer is an empty one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from slmcheck.gates import MetricInfo
from slmcheck.metrics.definition import GENERATED, Array, Metric, Statistics, ValueOfSum, with_references
from slmcheck.records import Prediction

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacrebleuMetric

_BLEU_ORDER = 4
_CHARACTER_ORDER = 6
_MARGIN_POINTS = 0.5


def _corpus_metric(
    info: MetricInfo,
    make: Callable[[], SacrebleuMetric],
    columns: tuple[str, ...],
    function: ValueOfSum,
    description: str,
) -> Metric:
    def statistics(predictions: Sequence[Prediction]) -> Statistics:
        with_references(info.name, predictions)
        table = _counts(make(), predictions)
        return Statistics(table, value_of_sum=function, columns=columns)

    return Metric(
        info=info,
        statistics=statistics,
        value_of_sum=function,
        needs=GENERATED,
        answers_only=True,
        description=description,
    )


def _counts(metric: SacrebleuMetric, predictions: Sequence[Prediction]) -> Array:
    """The counts of each example by sacrebleu; shape (examples, K)."""
    most = max(len(item.references) for item in predictions)
    # One stream of references after the other; None where a row has fewer.
    streams = [
        [item.references[number] if number < len(item.references) else None for item in predictions]
        for number in range(most)
    ]
    answers = [item.prediction or "" for item in predictions]
    log = logging.getLogger("sacrebleu")
    level = log.level
    # sacrebleu warns of answers that end in " ."; models write them, and the score is what it is.
    log.setLevel(logging.ERROR)
    try:
        counts = metric._extract_corpus_statistics(answers, streams)  # type: ignore[arg-type]
    finally:
        log.setLevel(level)
    return np.array(counts, dtype=np.float64)


def _bleu_of_sum(sums: Array) -> Array:
    """BLEU of (answer length, reference length, matches 1..4, n-grams 1..4) with exponential smoothing."""
    lengths, references = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + _BLEU_ORDER], sums[..., 2 + _BLEU_ORDER :]
    missed = (matches == 0) & (totals > 0)
    # Each order without a match halves the count that it is given once more: 1/2, 1/4, ...
    smoothed = np.where(matches > 0, matches, np.where(missed, 0.5 ** np.cumsum(missed, axis=-1), 1.0))
    precisions = 100.0 * smoothed / np.where(totals > 0, totals, 1.0)
    scored = (matches > 0).any(axis=-1) & (totals > 0).all(axis=-1)
    with np.errstate(divide="ignore", over="ignore"):
        short = np.exp(1.0 - references / np.where(lengths > 0, lengths, 1.0))
    brevity = np.where(lengths < references, np.where(lengths > 0, short, 0.0), 1.0)
    return np.where(scored, brevity * np.exp(np.log(precisions).mean(axis=-1)), 0.0)


def bleu_score(*, tokenize: str = "13a", lowercase: bool = False) -> Metric:
    """Corpus BLEU with another tokenizer of sacrebleu (`zh`, `ja-mecab`, `char`, `none`), or lower-cased."""

    def make() -> SacrebleuMetric:
        from sacrebleu.metrics.bleu import BLEU

        return BLEU(tokenize=tokenize, lowercase=lowercase, force=True)

    name = "bleu" if (tokenize, lowercase) == ("13a", False) else f"bleu_{tokenize}{'_lc' if lowercase else ''}"
    return _corpus_metric(
        MetricInfo(
            name=name,
            unit="points",
            margin=_MARGIN_POINTS,
            signature=f"bleu|case:{'lc' if lowercase else 'mixed'}|eff:no|tok:{tokenize}|smooth:exp|version:1",
        ),
        make,
        (
            "answer length",
            "reference length",
            *(f"matches {order}" for order in range(1, _BLEU_ORDER + 1)),
            *(f"ngrams {order}" for order in range(1, _BLEU_ORDER + 1)),
        ),
        _bleu_of_sum,
        "BLEU of the corpus; points 0..100, higher is better. Source: sacrebleu.metrics.BLEU.",
    )


def _chrf_of_sum(word_order: int, beta: float = 2.0) -> ValueOfSum:
    orders = _CHARACTER_ORDER + word_order

    def value(sums: Array) -> Array:
        counts = sums.reshape(*sums.shape[:-1], orders, 3)
        given, expected, matched = counts[..., 0], counts[..., 1], counts[..., 2]
        used = (given > 0) & (expected > 0)
        number = np.maximum(used.sum(axis=-1), 1)
        precision = np.where(used, matched / np.where(used, given, 1.0), 0.0).sum(axis=-1) / number
        recall = np.where(used, matched / np.where(used, expected, 1.0), 0.0).sum(axis=-1) / number
        weight = beta**2
        denominator = weight * precision + recall
        positive = denominator > 0
        # Times a hundred last, as sacrebleu does, so that the floats are the same.
        score = (1.0 + weight) * precision * recall / np.where(positive, denominator, 1.0)
        return np.where(positive, 100.0 * score, 0.0)

    return value


def chrf_score(*, word_order: int = 0) -> Metric:
    """Corpus chrF of character 6-grams; `word_order=2` is chrF++."""

    def make() -> SacrebleuMetric:
        from sacrebleu.metrics.chrf import CHRF

        return CHRF(word_order=word_order)

    columns = tuple(
        f"{what} {order}"
        for order in (
            *(f"char {number}" for number in range(1, _CHARACTER_ORDER + 1)),
            *(f"word {number}" for number in range(1, word_order + 1)),
        )
        for what in ("answer", "reference", "matches")
    )
    return _corpus_metric(
        MetricInfo(
            name="chrf" + "p" * word_order,
            unit="points",
            margin=_MARGIN_POINTS,
            signature=f"chrf|case:mixed|eff:yes|nc:{_CHARACTER_ORDER}|nw:{word_order}|space:no|version:1",
        ),
        make,
        columns,
        _chrf_of_sum(word_order),
        "chrF of the corpus; points 0..100, higher is better. Source: sacrebleu.metrics.CHRF.",
    )


def _ter_of_sum(sums: Array) -> Array:
    edits, length = sums[..., 0], sums[..., 1]
    rate = np.where(length > 0, edits / np.where(length > 0, length, 1.0), np.where(edits > 0, 1.0, 0.0))
    return np.asarray(100.0 * rate, dtype=np.float64)


def _make_ter() -> SacrebleuMetric:
    from sacrebleu.metrics.ter import TER

    return TER()


bleu = bleu_score()
chrf = chrf_score()
chrfpp = chrf_score(word_order=2)
ter = _corpus_metric(
    MetricInfo(
        name="ter",
        higher_is_better=False,
        unit="points",
        margin=_MARGIN_POINTS,
        signature="ter|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:1",
    ),
    _make_ter,
    ("edits", "reference length"),
    _ter_of_sum,
    "Edits per hundred reference words over the corpus; 0 and up, lower is better. Source: sacrebleu.metrics.TER.",
)
