"""The seeded bootstrap against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from slmcheck.statistics import bca_bounds, bootstrap_values

Array = NDArray[np.float64]


def mean(sums: Array) -> Array:
    return np.asarray(sums[..., 0] / sums[..., 1])


def sample(size: int = 60) -> Array:
    return np.random.default_rng(8).exponential(size=size)


def test_bca_agrees_with_scipy() -> None:
    column = sample()
    table = np.stack([column, np.ones(len(column))], axis=-1)
    resampled = bootstrap_values(mean, table, resamples=20_000)
    found = bca_bounds(column.mean(), resampled, column - column.mean(), lower_tail=0.05, upper_tail=0.05)
    reference = stats.bootstrap(
        (column,), np.mean, n_resamples=20_000, confidence_level=0.90, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found == pytest.approx((reference.low, reference.high), abs=0.015)


def test_the_same_sample_gives_the_same_resamples() -> None:
    table = np.stack([sample(), np.ones(60)], axis=-1)
    assert bootstrap_values(mean, table).tolist() == bootstrap_values(mean, table).tolist()


def test_large_samples_are_resampled_in_portions() -> None:
    table = np.ones((3_000_000, 1))
    assert bootstrap_values(lambda sums: sums[..., 0], table, resamples=3).tolist() == [3_000_000.0] * 3


def test_a_sample_without_variation_has_bounds_of_no_width() -> None:
    bounds = bca_bounds(1.0, np.ones(99), np.zeros(10), lower_tail=0.05, upper_tail=0.05)
    assert bounds == (1.0, 1.0)
