"""The rule: PASS, FAIL, INCONCLUSIVE."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.statistics import at_least, change_of_means, change_of_rates, decide_no_worse


def decide(change: float, error: float, margin: float) -> str:
    return str(decide_no_worse(change_of_means(change, error, 1e9, 0.05), margin, 0.05))


@pytest.mark.parametrize(
    ("change", "error", "margin", "decision"),
    [
        (0.0, 0.004, 0.01, "pass"),
        (-0.005, 0.002, 0.01, "pass"),  # worse for certain, but within the margin
        (-0.02, 0.01, 0.01, "fail"),  # real and larger than the margin
        (-0.02, 0.02, 0.01, "inconclusive"),  # larger than the margin, but not real
        (-0.009, 0.004, 0.01, "inconclusive"),  # real, but not larger than the margin
        (-0.05, 0.001, 0.01, "fail"),
        (0.0, 0.1, 0.01, "inconclusive"),
        (-0.02, 0.01, 0.0, "fail"),
        (0.02, 0.01, 0.0, "pass"),
    ],
)
def test_the_rule_in_cases(change: float, error: float, margin: float, decision: str) -> None:
    assert decide(change, error, margin) == decision


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.0, 0.2))
def test_pass_and_fail_follow_the_bounds(won: int, lost: int, margin: float) -> None:
    estimate = change_of_rates(won, lost, 200, 0.05)
    decision = str(decide_no_worse(estimate, margin, 0.05))
    assert decision != "pass" or at_least(estimate.low, -margin)
    assert decision != "fail" or (float(estimate.high) < 0.0 and float(estimate.change) < -margin)


@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.0, 0.1), st.floats(0.0, 0.1))
def test_a_wider_margin_never_turns_a_pass_into_a_fail(won: int, lost: int, margin: float, more: float) -> None:
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    estimate = change_of_rates(won, lost, 200, 0.05)
    narrow, wide = (str(decide_no_worse(estimate, item, 0.05)) for item in (margin, margin + more))
    assert order[wide] >= order[narrow]


def test_many_changes_are_decided_at_once() -> None:
    estimate = change_of_means(np.array([0.0, -0.05, -0.02]), np.array([0.001, 0.001, 0.05]), 99, 0.05)
    assert decide_no_worse(estimate, 0.01, 0.05).tolist() == ["pass", "fail", "inconclusive"]


def test_a_drop_of_exactly_the_margin_is_not_larger_than_it() -> None:
    assert 0.89 - 0.90 < -0.01
    assert decide(0.89 - 0.90, 0.001, 0.01) == "inconclusive"
    assert bool(at_least(0.89 - 0.90, -0.01))
    assert not bool(at_least(-0.0101, -0.01))


def test_infinite_bounds_prove_nothing() -> None:
    estimate = change_of_means(-0.5, np.inf, 1, 0.05)
    assert str(decide_no_worse(estimate, 0.01, 0.05)) == "inconclusive"
    assert not bool(at_least(-np.inf, -0.01))
    assert bool(at_least(np.inf, 0.01))
