"""Holm's correction."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.statistics import holm


def test_holm_by_hand() -> None:
    # Sorted .005, .011, .02, .04 against .05/4, .05/3, .05/2, .05/1: all fall; .03 in place of .02 stops at .03.
    assert holm([0.04, 0.005, 0.02, 0.011]).tolist() == [True, True, True, True]
    assert holm([0.04, 0.005, 0.03, 0.011]).tolist() == [False, True, False, True]


def test_holm_of_nothing() -> None:
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_holm_is_stricter_than_no_correction_and_looser_than_bonferroni(p_values: list[float]) -> None:
    survives = holm(p_values)
    values = np.array(p_values)
    assert not (survives & (values > 0.05)).any()
    assert survives[values <= 0.05 / len(values)].all()


def test_holm_holds_the_family_wise_error() -> None:
    rng = np.random.default_rng(4)
    false_alarms = [holm(list(rng.random(40))).any() for _ in range(4000)]
    assert abs(np.mean(false_alarms) - 0.05) < 0.012
