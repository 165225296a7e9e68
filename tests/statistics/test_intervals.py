"""Intervals of rates against scipy, root finding and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from slmcheck.statistics import clopper_pearson, newcombe, normal_quantile, tango, widen, wilson
from slmcheck.statistics.intervals import tango_statistic

Z95 = normal_quantile(0.975)
Z90 = normal_quantile(0.95)


@given(st.data(), st.integers(1, 5000))
def test_wilson_and_clopper_pearson_equal_scipy(data: st.DataObject, trials: int) -> None:
    successes = data.draw(st.integers(0, trials))
    test = stats.binomtest(successes, trials)
    score, exact = test.proportion_ci(0.95, "wilson"), test.proportion_ci(0.95, "exact")
    assert [float(bound) for bound in wilson(successes, trials, Z95)] == pytest.approx(
        [score.low, score.high], abs=1e-10
    )
    assert clopper_pearson(successes, trials, 0.95) == pytest.approx((exact.low, exact.high), abs=1e-10)


@settings(max_examples=50)
@given(st.data(), st.integers(2, 3000))
def test_tango_equals_a_root_finder(data: st.DataObject, pairs: int) -> None:
    won = data.draw(st.integers(0, pairs))
    lost = data.draw(st.integers(0, pairs - won))
    low, high = (float(bound) for bound in tango(won, lost, pairs, Z90))
    estimate = (won - lost) / pairs

    def distance(difference: float, target: float) -> float:
        arrays = [np.asarray(float(item)) for item in (won, lost, pairs, difference)]
        return float(tango_statistic(*arrays)) - target

    if estimate > -1.0:
        root = optimize.brentq(distance, -1.0 + 1e-15, min(estimate + 1e-12, 1.0), args=(Z90,), xtol=1e-14)
        assert low == pytest.approx(root, abs=1e-10)
    if estimate < 1.0:
        root = optimize.brentq(distance, max(estimate - 1e-12, -1.0), 1.0 - 1e-15, args=(-Z90,), xtol=1e-14)
        assert high == pytest.approx(root, abs=1e-10)


@pytest.mark.parametrize(("won", "lost", "bounds"), [(5, 0, (None, 1.0)), (0, 5, (-1.0, None))])
def test_tango_stays_in_range_when_all_pairs_are_discordant(won: int, lost: int, bounds: tuple[float, float]) -> None:
    found = [float(bound) for bound in tango(won, lost, 5, Z90)]
    assert all(expected is None or found[i] == expected for i, expected in enumerate(bounds))
    assert -1.0 <= found[0] <= found[1] <= 1.0


@given(st.integers(0, 50), st.integers(0, 50))
def test_tango_mirrors_when_the_models_change_places(won: int, lost: int) -> None:
    low, high = tango(won, lost, 120, Z90)
    mirrored_low, mirrored_high = tango(lost, won, 120, Z90)
    assert float(low) == pytest.approx(-float(mirrored_high), abs=1e-12)
    assert float(high) == pytest.approx(-float(mirrored_low), abs=1e-12)


def test_newcombe_reproduces_its_published_example() -> None:
    # Newcombe 1998, table II, example (a), method 10: 56/70 - 48/80, 95 % interval .0524 .. .3339.
    first = tuple(float(bound) for bound in wilson(56, 70, Z95))
    second = tuple(float(bound) for bound in wilson(48, 80, Z95))
    low, high = newcombe(0.8, (first[0], first[1]), 0.6, (second[0], second[1]))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_widening_adds_half_widths_in_squares() -> None:
    low, high = widen(0.1, 0.1 - 3.0, 0.1 + 5.0, 4.0)
    assert (float(low), float(high)) == pytest.approx((0.1 - 5.0, 0.1 + math.sqrt(41.0)))
