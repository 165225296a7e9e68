"""How many of several failed checks survive a correction for their number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p_values: Sequence[float], alpha: float = 0.05) -> NDArray[np.bool_]:
    """Which hypotheses fall when the chance of even one false alarm is held at `alpha`.

    Args:
        p_values: One a check, in any order.
        alpha: Family-wise level.

    Returns:
        True where the check survives; shape (checks,).

    Source: Holm 1979.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    limits = alpha / np.arange(len(values), 0, -1)
    survives = np.zeros(len(values), dtype=bool)
    survives[order] = np.logical_and.accumulate(values[order] <= limits)
    return survives
