"""Influence values and their standard errors against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from slmcheck.statistics import cluster_numbers, cluster_sums, from_scale, linearise, standard_error, to_scale

Array = NDArray[np.float64]
values = arrays(np.float64, st.integers(3, 40), elements=st.floats(-50.0, 50.0, width=32))


def mean(sums: Array) -> Array:
    return np.asarray(sums[..., 0] / sums[..., 1])


def perplexity(sums: Array) -> Array:
    return np.exp(mean(sums))


def with_count(column: Array) -> Array:
    return np.stack([column, np.ones_like(column)], axis=-1)


@given(values)
def test_the_influence_of_a_mean_is_the_deviation(column: Array) -> None:
    parts = linearise(mean, with_count(column))
    assert parts.influence == pytest.approx(column - column.mean(), abs=1e-6)
    assert float(parts.value) == pytest.approx(column.mean(), abs=1e-9)
    error, degrees = standard_error(parts.influence)
    assert float(error) == pytest.approx(stats.sem(column), rel=1e-6, abs=1e-7)
    assert degrees == len(column) - 1


def test_a_ratio_on_the_log_scale_is_linearised_over_documents() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(10, 300, 200).astype(float)
    nats = tokens * rng.normal(2.0, 0.3, 200)
    parts = linearise(perplexity, np.stack([nats, tokens], axis=-1), "log")
    ratio = nats.sum() / tokens.sum()
    assert parts.influence == pytest.approx((nats - ratio * tokens) / tokens.mean(), rel=1e-6, abs=1e-8)


def test_independent_samples_are_linearised_at_once() -> None:
    table = np.random.default_rng(1).random((3, 4, 20, 2)) + 0.1
    together = linearise(perplexity, table, "log")
    assert together.influence.shape == (3, 4, 20)
    assert together.influence[1, 2] == pytest.approx(linearise(perplexity, table[1, 2], "log").influence, abs=1e-12)


def test_a_column_that_never_varies_moves_nothing() -> None:
    def jumps(sums: Array) -> Array:
        return np.asarray(sums[..., 0] / sums[..., 1] + 100.0 * (sums[..., 2] > 0.0))

    column = np.arange(10.0)
    table = np.stack([column, np.ones(10), np.zeros(10)], axis=-1)
    assert linearise(jumps, table).influence == pytest.approx(column - 4.5, abs=1e-6)


def test_clusters_of_copies_have_the_error_of_the_originals() -> None:
    column = np.random.default_rng(2).normal(size=30)
    copies = np.repeat(column, 5)
    clusters = np.repeat(np.arange(30), 5)
    robust, degrees = standard_error(copies - copies.mean(), clusters)
    plain, _ = standard_error(column - column.mean())
    assert float(robust) == pytest.approx(float(plain))
    assert degrees == 29


def test_a_single_cluster_knows_nothing_of_its_error() -> None:
    error, degrees = standard_error(np.array([-1.0, 0.0, 1.0]), np.zeros(3, dtype=np.intp))
    assert np.isinf(error)
    assert degrees == 1


def test_cluster_sums_do_not_need_sorted_clusters() -> None:
    sums = cluster_sums(np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([1, 0, 1, 0]))
    assert sums.tolist() == [[6.0, 4.0]]


def test_groups_of_one_example_each_are_no_clusters() -> None:
    assert cluster_numbers(None) is None
    assert cluster_numbers(("a", "b", "c")) is None
    numbers = cluster_numbers(("a", "b", "a"))
    assert numbers is not None
    assert numbers.tolist() == [0, 1, 0]


@pytest.mark.parametrize("scale", ["identity", "log", "logit"])
def test_scales_go_there_and_back(scale: str) -> None:
    points = np.array([0.1, 0.5, 0.9])
    assert from_scale(to_scale(points, scale), scale) == pytest.approx(points)  # type: ignore[arg-type]
