"""Planning against the tables that the defaults come from."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.statistics import (
    examples_needed,
    examples_to_see,
    examples_to_see_unpaired,
    joint_probability,
    level_probability,
    provable_margin,
    release_probability,
    smallest_visible_drop,
    standard_error_of_change,
)


@pytest.mark.parametrize(
    ("drop", "discordance", "paired", "unpaired"),
    [(0.005, 0.02, 4_944, 63_924), (0.01, 0.10, 6_181, 16_195), (0.02, 0.05, 771, 4_154), (0.05, 0.20, 493, 714)],
)
def test_examples_to_see_a_drop(drop: float, discordance: float, paired: int, unpaired: int) -> None:
    assert examples_to_see(drop, discordance) == pytest.approx(paired, rel=2e-3)
    assert examples_to_see_unpaired(drop, 0.85) == pytest.approx(unpaired, rel=2e-3)


@pytest.mark.parametrize(
    ("examples", "drop"), [(200, 0.056), (500, 0.035), (1000, 0.025), (2000, 0.018), (5000, 0.011)]
)
def test_the_smallest_visible_drop_is_2_49_standard_errors(examples: int, drop: float) -> None:
    found = smallest_visible_drop(0.10, examples)
    assert found == pytest.approx(drop, abs=6e-4)
    assert found == pytest.approx(2.4865 * math.sqrt(0.10 / examples), rel=1e-4)


def test_the_smallest_visible_drop_includes_the_seeds_and_is_never_below_the_margin() -> None:
    with_seeds = smallest_visible_drop(0.10, 5000, seed_variance=2 * 0.005**2)
    assert with_seeds == pytest.approx(2.4865 * math.sqrt(0.10 / 5000 + 2 * 0.005**2), rel=1e-4)
    assert smallest_visible_drop(0.005, 100_000, margin=0.01) == 0.01


@pytest.mark.parametrize(("true", "examples", "power"), [(0.92, 1666, 0.80), (0.93, 716, 0.80), (0.95, 239, 0.80)])
def test_the_chance_to_prove_a_level(true: float, examples: int, power: float) -> None:
    assert level_probability(true, 0.90, examples) == pytest.approx(power, abs=0.003)


def test_a_level_at_its_threshold_is_hardly_ever_proven() -> None:
    assert level_probability(0.90, 0.90, 500) == pytest.approx(0.025, abs=1e-9)
    assert level_probability(1.0, 0.90, 500) == 1.0


@given(st.floats(0.001, 0.3), st.integers(50, 20_000), st.floats(0.0, 0.01))
def test_the_provable_margin_is_proven_at_80_percent(variance: float, examples: int, seed_sd: float) -> None:
    seeds = 2.0 * seed_sd**2
    margin = provable_margin(variance, examples, seed_variance=seeds)
    assert release_probability(variance, examples, margin, seed_variance=seeds) == pytest.approx(0.80, abs=1e-9)
    needed = examples_needed(variance, margin, seed_variance=seeds)
    assert needed is not None
    assert abs(needed - examples) <= max(2, 1e-6 * examples)


def test_seeds_that_vary_too_much_allow_no_proof() -> None:
    assert examples_needed(0.10, 0.01, seed_variance=2 * 0.005**2) is None
    assert examples_needed(0.10, 0.0) is None
    assert examples_needed(0.10, 0.01) == pytest.approx(6_183, abs=3)


def test_a_model_that_never_differs_is_always_released() -> None:
    assert release_probability(0.0, 100, 0.01) == 1.0
    assert standard_error_of_change(0.0, 100) == 0.0


def test_release_probability_is_the_share_of_proofs_in_a_simulation() -> None:
    rng = np.random.default_rng(3)
    error = standard_error_of_change(0.10, 500)
    proven = rng.normal(0.0, error, 200_000) - 1.6449 * error >= -0.03
    assert release_probability(0.10, 500, 0.03) == pytest.approx(proven.mean(), abs=0.005)


def test_forty_gates_of_80_percent_release_one_model_in_five() -> None:
    assert joint_probability([0.8] * 40) == pytest.approx(0.19, abs=0.005)


@given(st.lists(st.floats(0.01, 0.999), min_size=1, max_size=6))
def test_joint_probability_lies_between_independence_and_the_weakest(probabilities: list[float]) -> None:
    joint = joint_probability(probabilities)
    assert math.prod(probabilities) - 1e-6 <= joint <= min(probabilities) + 1e-6


def test_joint_probability_of_impossible_and_no_gates() -> None:
    assert joint_probability([0.9, 0.0]) == 0.0
    assert joint_probability([]) == pytest.approx(1.0, abs=1e-9)
