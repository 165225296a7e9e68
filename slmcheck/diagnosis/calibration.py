"""How far the probabilities of chosen options can be believed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slmcheck.diagnosis.estimates import Floats, mean_of
from slmcheck.records import Prediction, ReliabilityBin

BINS = 10
_TEMPERATURES = np.exp(np.linspace(np.log(0.25), np.log(8.0), 41))


def confidences(predictions: Sequence[Prediction]) -> Floats | None:
    """The probability of each chosen option; None where a model gives none. Shape (predictions,)."""
    found = []
    for one in predictions:
        if one.option_probabilities is None or one.prediction not in one.options:
            return None
        found.append(one.option_probabilities[one.options.index(one.prediction)])
    return np.array(found, dtype=np.float64)


def reliability_of(sure: Floats, right: Floats) -> tuple[ReliabilityBin, ...]:
    """Confidence against accuracy in at most ten bins of equal width; empty bins are left out.

    Args:
        sure: Probability of each chosen option; shape (rows,).
        right: Whether it was right; same shape.
    """
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    found = []
    for number in np.unique(place):
        inside = place == number
        accuracy = mean_of(right[inside])
        found.append(
            ReliabilityBin(
                confidence=float(sure[inside].mean()),
                accuracy=accuracy.value,
                low=accuracy.low,
                high=accuracy.high,
                n=int(inside.sum()),
            )
        )
    return tuple(found)


def best_temperature(predictions: Sequence[Prediction]) -> float:
    """The divisor of the log-probabilities under which the references are most likely, of 41 from 0.25 to 8.

    Source: Guo et al. 2017, temperature scaling.
    """
    losses = np.zeros(len(_TEMPERATURES))
    for one in predictions:
        if one.option_probabilities is None or one.reference not in one.options:
            continue
        logs = np.log(np.maximum(np.array(one.option_probabilities), 1e-12))[None, :] / _TEMPERATURES[:, None]
        total = logs.max(axis=1) + np.log(np.exp(logs - logs.max(axis=1, keepdims=True)).sum(axis=1))
        losses += total - logs[:, one.options.index(one.reference)]
    return float(_TEMPERATURES[int(np.argmin(losses))])
