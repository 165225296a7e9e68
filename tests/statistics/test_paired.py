"""Paired tests against scipy and hand-made cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from slmcheck.statistics import (
    SeedVariance,
    change_of_means,
    change_of_rates,
    change_of_sums,
    mcnemar_mid_p,
    normal_quantile,
    tango,
)
from slmcheck.statistics.paired import satterthwaite


@given(st.integers(0, 300), st.integers(0, 300))
def test_mid_p_equals_scipy(lost: int, won: int) -> None:
    expected = stats.binom.cdf(won, won + lost, 0.5) - 0.5 * stats.binom.pmf(won, won + lost, 0.5)
    assert float(mcnemar_mid_p(lost, won)) == pytest.approx(expected, abs=1e-10)


def test_mid_p_of_no_discordant_pairs_is_one_half() -> None:
    assert float(mcnemar_mid_p(0, 0)) == 0.5


def test_rates_without_seed_term_use_mid_p_and_tango() -> None:
    estimate = change_of_rates(16, 42, 500, 0.05)
    low, high = tango(16, 42, 500, normal_quantile(0.95))
    assert float(estimate.change) == -0.052
    assert (float(estimate.low), float(estimate.high)) == (float(low), float(high))
    assert float(estimate.p_value) == float(mcnemar_mid_p(42, 16))


def test_the_seed_term_widens_bounds_and_weakens_the_test() -> None:
    plain = change_of_rates(16, 42, 500, 0.05)
    seeded = change_of_rates(16, 42, 500, 0.05, SeedVariance(variance=2 * 0.005**2))
    assert float(seeded.low) < float(plain.low)
    assert float(seeded.high) > float(plain.high)
    assert float(seeded.p_value) > float(plain.p_value)
    expected = stats.norm.cdf(-0.052 / math.sqrt(58 / 500**2 + 2 * 0.005**2))
    assert float(seeded.p_value) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.floats(-5.0, 5.0), min_size=3, max_size=60))
def test_means_equal_the_t_test_of_scipy(differences: list[float]) -> None:
    column = np.array(differences)
    if np.ptp(column) < 1e-3:
        return
    estimate = change_of_means(column.mean(), stats.sem(column), len(column) - 1, 0.05)
    test = stats.ttest_1samp(column, 0.0, alternative="less")
    interval = stats.ttest_1samp(column, 0.0).confidence_interval(0.90)
    assert float(estimate.p_value) == pytest.approx(test.pvalue, abs=1e-9)
    assert (float(estimate.low), float(estimate.high)) == pytest.approx((interval.low, interval.high), abs=1e-9)


@pytest.mark.parametrize(("change", "p_value"), [(0.0, 1.0), (0.1, 1.0), (-0.1, 0.0)])
def test_a_change_without_any_error_is_certain(change: float, p_value: float) -> None:
    estimate = change_of_means(change, 0.0, 10, 0.05)
    assert float(estimate.p_value) == p_value
    assert float(estimate.low) == float(estimate.high) == change


def test_satterthwaite_lies_between_its_two_parts() -> None:
    seeds = SeedVariance(variance=1.0, degrees_of_freedom=4.0)
    assert float(satterthwaite(np.array(1.0), 100.0, seeds)) == pytest.approx(4.0 / (1 / 100 + 1 / 4))
    assert float(satterthwaite(np.array(1.0), math.inf, SeedVariance(variance=1.0))) == math.inf
    assert float(satterthwaite(np.array(0.0), 9.0, SeedVariance())) == 9.0


def test_sums_of_two_measurements_are_compared_example_by_example() -> None:
    rng = np.random.default_rng(5)
    old = rng.normal(size=50)
    new = old + rng.normal(-0.1, 0.2, 50)
    ones = np.ones(50)

    def mean(sums: np.ndarray) -> np.ndarray:
        return np.asarray(sums[..., 0] / sums[..., 1])

    moved = change_of_sums(
        (mean, np.stack([new, ones], -1)), (mean, np.stack([old, ones], -1)), scale="identity", sign=1, alpha=0.05
    )
    test = stats.ttest_rel(new, old, alternative="less")
    assert float(moved.estimate.p_value) == pytest.approx(test.pvalue, abs=1e-9)
    assert moved.pulls.sum() == pytest.approx(0.0, abs=1e-9)
