"""Distributions against scipy, to 1e-10."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from slmcheck.statistics import (
    beta_cdf,
    beta_quantile,
    binomial_cdf,
    binomial_pmf,
    normal_cdf,
    normal_quantile,
    t_cdf,
    t_quantile,
)

CLOSE = 1e-10
probabilities = st.floats(1e-9, 1.0 - 1e-9)
shapes = st.floats(0.5, 1e5)


@given(st.floats(-30.0, 30.0))
def test_normal_cdf_equals_scipy(x: float) -> None:
    assert normal_cdf(x) == pytest.approx(stats.norm.cdf(x), rel=CLOSE, abs=1e-300)


@given(probabilities)
def test_normal_quantile_equals_scipy(probability: float) -> None:
    assert normal_quantile(probability) == pytest.approx(stats.norm.ppf(probability), rel=CLOSE, abs=CLOSE)


@given(st.floats(-50.0, 50.0), st.floats(1.0, 1e6))
def test_t_cdf_equals_scipy(x: float, degrees: float) -> None:
    assume(x == 0.0 or abs(x) > 1e-6)  # there scipy gives 0.5 itself, as the next test shows
    assert t_cdf(x, degrees) == pytest.approx(stats.t.cdf(x, degrees), rel=CLOSE, abs=CLOSE)


def test_t_cdf_near_zero_keeps_the_digits_that_scipy_loses() -> None:
    assert t_cdf(1e-9, 1.0) == pytest.approx(0.5 + 1e-9 / math.pi, rel=1e-15)


@settings(max_examples=60)
@given(probabilities, st.floats(1.0, 1e6))
def test_t_quantile_equals_scipy(probability: float, degrees: float) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=CLOSE, abs=CLOSE)


@given(st.floats(0.0, 1.0), shapes, shapes)
def test_beta_cdf_equals_scipy(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), abs=CLOSE)


@settings(max_examples=60)
@given(st.floats(1e-4, 1.0 - 1e-4), shapes, shapes)
def test_beta_quantile_equals_scipy(probability: float, a: float, b: float) -> None:
    assert beta_quantile(probability, a, b) == pytest.approx(stats.beta.ppf(probability, a, b), abs=CLOSE)


@given(st.data(), st.integers(1, 200_000), st.floats(1e-12, 1.0))
def test_binomial_equals_scipy(data: st.DataObject, trials: int, probability: float) -> None:
    successes = data.draw(st.integers(0, trials))
    assert binomial_cdf(successes, trials, probability) == pytest.approx(
        stats.binom.cdf(successes, trials, probability), abs=CLOSE
    )
    assert binomial_pmf(successes, trials, probability) == pytest.approx(
        stats.binom.pmf(successes, trials, probability), abs=CLOSE
    )


def test_ends_of_the_distributions() -> None:
    assert normal_quantile(0.0) == -math.inf
    assert t_quantile(1.0, 5.0) == math.inf
    assert beta_quantile(0.0, 2.0, 3.0) == 0.0
    assert binomial_cdf(-1, 10, 0.5) == 0.0
    assert binomial_cdf(10, 10, 0.5) == 1.0
    assert binomial_pmf(11, 10, 0.5) == 0.0
    assert binomial_pmf(10, 10, 1.0) == 1.0


def test_t_with_infinite_degrees_of_freedom_is_normal() -> None:
    assert t_quantile(0.95, math.inf) == normal_quantile(0.95)
    assert t_cdf(1.0, math.inf) == normal_cdf(1.0)


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_quantiles_refuse_what_is_no_probability(probability: float) -> None:
    with pytest.raises(ValueError, match="lies in"):
        normal_quantile(probability)


def test_shapes_and_degrees_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        beta_cdf(0.5, 0.0, 1.0)
    with pytest.raises(ValueError, match="positive"):
        t_cdf(0.5, 0.0)
