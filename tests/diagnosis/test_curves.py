"""Numbers of a loss curve against values worked out by hand or by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from slmcheck.diagnosis.curves import descent_of, is_flat, mann_kendall, turn_of
from tests.diagnosis.conftest import FALLING, SETTLED, history


def test_four_rising_values_have_the_smallest_p_that_four_values_can_have():
    assert mann_kendall([1, 2, 3, 4]) == pytest.approx(1 / 24)


def test_three_values_are_no_trend():
    assert mann_kendall([1, 2, 3]) == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_the_exact_p_is_that_of_kendalls_tau_with_time(seed):
    values = np.random.default_rng(seed).permutation(7).astype(float)
    expected = kendalltau(np.arange(7), values, method="exact", alternative="greater").pvalue
    assert mann_kendall(values) == pytest.approx(expected)


def test_the_divergence_point_passes_over_a_single_blip():
    points = history([1.0] * 100, [2.0, 1.0, 0.2, 0.9, 0.8, 0.85, 0.9, 1.0, 1.1, 1.2, 1.3])
    turn = turn_of(points, None)
    assert turn is not None
    assert (turn.step, turn.lowest) == (30, pytest.approx(0.8))


def test_two_evaluations_have_no_divergence_point():
    assert turn_of(history([1.0] * 100, [2.0, 1.0, 0.9]), None) is None


def test_a_descent_takes_the_loss_before_the_first_update_as_its_start():
    descent = descent_of(history(FALLING, SETTLED))
    assert descent is not None
    assert descent.first == 2.0
    assert descent.drop > 0.85
    assert descent.updates == 100
    assert descent.momentum is not None
    assert descent.momentum < 0.5


def test_a_steady_descent_keeps_its_momentum():
    descent = descent_of(history([2.0 - 0.01 * n for n in range(100)], [2.0, 1.0]))
    assert descent is not None
    assert descent.momentum == pytest.approx(1.0, abs=0.1)


def test_a_loss_that_stands_still_is_flat_and_one_that_falls_is_not():
    assert is_flat(history([2.0] * 20 + [1.0] * 80, SETTLED))
    assert not is_flat(history([2.0 - 0.01 * n for n in range(100)], SETTLED))
