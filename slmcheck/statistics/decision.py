"""When a change passes, fails, or cannot be told: the one rule of every gate against another score.

The rule works on arrays, so that the simulation that measures its false alarms runs the very code that gates run.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slmcheck.statistics.paired import ChangeEstimate

Decision = Literal["pass", "fail", "inconclusive"]
Decisions: TypeAlias = NDArray[np.str_]

_ROUNDING = 1e-9
"""Relative slack for margins such as 0.90 - 0.89 against 0.01, which differ in the last binary digit."""


def decide_no_worse(estimate: ChangeEstimate, margin: ArrayLike, alpha: float) -> Decisions:
    """Whether a change is no worse than `-margin`.

    PASS: the lower bound says so. FAIL: the drop is real (bound and test) and larger than the margin.
    INCONCLUSIVE: the examples cannot tell.

    Args:
        estimate: Oriented changes with one-sided bounds of level `alpha`.
        margin: How much worse is allowed, not negative.
        alpha: One-sided level of the test.

    Returns:
        "pass", "fail" or "inconclusive" for each change.
    """
    allowed = np.asarray(margin, dtype=np.float64)
    is_real = (estimate.high < 0.0) & (estimate.p_value <= alpha)
    failed = is_real & ~at_least(estimate.change, -allowed)
    passed = at_least(estimate.low, -allowed)
    return np.where(passed, "pass", np.where(failed, "fail", "inconclusive"))


def at_least(value: ArrayLike, bound: ArrayLike) -> NDArray[np.bool_]:
    """Value >= bound, forgiving the rounding of the subtraction that made either."""
    left, right = np.asarray(value, dtype=np.float64), np.asarray(bound, dtype=np.float64)
    # An infinite bound must not make the slack infinite as well.
    size = np.minimum(np.maximum(np.maximum(np.abs(left), np.abs(right)), 1e-6), 1e300)
    slack = _ROUNDING * np.where(np.isfinite(left) & np.isfinite(right), size, 0.0)
    return np.asarray(left >= right - slack)
