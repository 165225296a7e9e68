"""What a suite can see before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slmcheck.gates import plan, plan_release, variance_of_change


def test_a_plan_for_accuracy(make: Any) -> None:
    planned = plan(make.accuracy, 500)
    assert planned is not None
    assert planned.smallest_visible_drop == pytest.approx(0.0393, abs=2e-4)
    assert planned.provable_margin == planned.smallest_visible_drop
    assert planned.release_probability == pytest.approx(0.155, abs=5e-3)
    assert planned.examples_needed is None
    assert planned.assumed
    assert planned.sentence == (
        "accuracy: smallest drop visible at 80 % power 3.9 points (n=500); "
        "an unchanged model is released with probability 16 %"
    )
    assert planned.advice == (
        "accuracy: these 500 rows can prove a margin of 3.9 points; "
        "no number of rows proves a margin of 1 point: take more seeds or a wider one"
    )


def test_seeds_make_a_margin_provable(make: Any) -> None:
    planned = plan(make.accuracy, 500, margin=0.02, seeds=3, baseline_seeds=3)
    assert planned is not None
    assert planned.examples_needed is not None
    assert "a margin of 2 points needs about 2,100 rows" in planned.advice
    enough = plan(make.accuracy, planned.examples_needed, margin=0.02, seeds=3, baseline_seeds=3)
    assert enough is not None
    assert enough.release_probability == pytest.approx(0.80, abs=1e-3)
    assert enough.advice == ""


def test_one_training_needs_fewer_rows(make: Any) -> None:
    planned = plan(make.accuracy, 500, same_training=True)
    assert planned is not None
    assert planned.release_probability > 0.9


def test_the_visible_drop_is_never_below_the_margin(make: Any) -> None:
    planned = plan(make.accuracy, 100_000, margin=0.05)
    assert planned is not None
    assert planned.smallest_visible_drop == 0.05


def test_without_a_measured_variance_other_units_have_no_plan(make: Any) -> None:
    assert plan(make.perplexity, 500) is None
    planned = plan(make.perplexity, 500, example_variance=0.01)
    assert planned is not None
    assert planned.margin == pytest.approx(0.0198, abs=1e-4)
    assert not planned.assumed
    assert "smallest drop visible at 80 % power 4." in planned.sentence
    assert " % (n=500)" in planned.sentence


def test_a_relative_margin_of_a_plain_metric_is_left_as_given(make: Any) -> None:
    info = replace(make.accuracy, margin_kind="relative")
    planned = plan(info, 500, margin=0.03)
    assert planned is not None
    assert planned.margin == 0.03


def test_several_primary_gates_release_together(make: Any) -> None:
    one = plan(make.accuracy, 2000, margin=0.03)
    two = plan(make.f1, 2000, margin=0.03)
    assert one is not None
    assert two is not None
    both = plan_release([one, two])
    assert one.release_probability * two.release_probability < both
    assert both < min(one.release_probability, two.release_probability)
    assert plan_release([]) == pytest.approx(1.0)


def test_the_variance_of_a_rate_is_its_discordance(make: Any) -> None:
    old = make.rate(make.right(400, 500), "old")
    new = make.rate(make.flipped(make.right(400, 500), lost=25, won=25))
    assert variance_of_change(new, old) == pytest.approx(0.10)
