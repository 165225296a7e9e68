"""Metrics of how likely the reference is: all are ratios of summed negative log-likelihood to what it was summed over.

Prompt tokens are already left out: the likelihood covers the answer and EOS of a prompt task, the whole document of
language modelling. Each example is one document; tokens of one document are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from slmcheck.errors import UndefinedScoreError
from slmcheck.gates import MetricInfo
from slmcheck.metrics.definition import LIKELIHOODS, Array, Metric, Statistics, ValueOfSum, required
from slmcheck.records import Prediction

Per = Literal["tokens", "words", "bytes"]


def _rate(sums: Array) -> Array:
    return np.asarray(sums[..., 0] / sums[..., 1], dtype=np.float64)


def _exponential(sums: Array) -> Array:
    # Beyond 709 nats a float overflows; measuring then says that there is no value.
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(_rate(sums)), dtype=np.float64)


def _bits(sums: Array) -> Array:
    return _rate(sums) / math.log(2.0)


def _likelihood(info: MetricInfo, per: Per, function: ValueOfSum, description: str) -> Metric:
    def statistics(predictions: Sequence[Prediction]) -> Statistics:
        required(info.name, predictions, lambda item: item.nll is not None, "the negative log-likelihood (nll)")
        required(info.name, predictions, lambda item: getattr(item, per) is not None, f"the number of {per}")
        table = np.array([[item.nll, getattr(item, per)] for item in predictions], dtype=np.float64)
        if not table[:, 1].sum() > 0:
            raise UndefinedScoreError(f"{info.name} is undefined: the references have no {per}.")
        return Statistics(table, value_of_sum=function, columns=("nll", per))

    return Metric(info=info, statistics=statistics, value_of_sum=function, needs=LIKELIHOODS, description=description)


def _perplexity(name: str, per: Per, seed_sd: float | None) -> Metric:
    info = MetricInfo(
        name=name,
        higher_is_better=False,
        margin=0.02,
        margin_kind="relative",
        scale="log",
        seed_sd=seed_sd,
        signature=f"{name}|per:{per}|average:corpus|version:1",
    )
    return _likelihood(
        info,
        per,
        _exponential,
        f"exp of the corpus' negative log-likelihood per {per[:-1]}; 1..inf, lower is better. "
        "The corpus is the unit: never a mean of perplexities of single texts.",
    )


perplexity = _perplexity("perplexity", "tokens", 0.012)
word_perplexity = _perplexity("word_perplexity", "words", None)
byte_perplexity = _perplexity("byte_perplexity", "bytes", None)

bits_per_byte = _likelihood(
    MetricInfo(
        name="bits_per_byte",
        higher_is_better=False,
        unit="bits",
        margin=0.02,
        margin_kind="relative",
        signature="bits_per_byte|average:corpus|version:1",
    ),
    "bytes",
    _bits,
    "Bits needed per byte of text, independent of the tokenizer; 0..inf, lower is better. "
    "Source: lm-evaluation-harness, bits_per_byte.",
)

loss = _likelihood(
    MetricInfo(
        name="loss",
        higher_is_better=False,
        unit="nats",
        margin=0.02,
        seed_sd=0.012,
        signature="loss|per:tokens|average:corpus|version:1",
    ),
    "tokens",
    _rate,
    "Negative log-likelihood per token over the corpus, the logarithm of perplexity; nats, 0..inf, lower is better.",
)
