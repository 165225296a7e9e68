"""The seed term: when it is needed, how large it is, how well it is known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from slmcheck.gates import Policy, judging
from slmcheck.gates.seeds import seed_term


def term(new: Any, old: Any, declared: float | None = None) -> Any:
    return seed_term(new.measurement, old.measurement, declared)


def test_one_training_has_no_seed_term(make: Any) -> None:
    right = make.right(8, 10)
    found = term(make.rate(right, "lora.onnx(int8)", run_key="k"), make.rate(right, "lora", run_key="k"))
    assert (found.knowledge, found.variance.variance) == ("same", 0.0)


def test_two_trainings_assume_the_declared_sd(make: Any) -> None:
    found = term(make.rate(make.right(8, 10), "a"), make.rate(make.right(8, 10), "b"))
    assert found.knowledge == "assumed"
    assert found.variance.variance == pytest.approx(2 * 0.005**2)
    assert math.isinf(found.variance.degrees_of_freedom)


def test_more_seeds_shrink_it(make: Any) -> None:
    found = term(make.rate(make.right(8, 10), "a", seeds=3), make.rate(make.right(8, 10), "b", seeds=2))
    assert found.variance.variance == pytest.approx(0.005**2 * (1 / 3 + 1 / 2))


def test_a_side_that_was_not_trained_adds_nothing(make: Any) -> None:
    found = term(make.rate(make.right(8, 10), "a"), make.rate(make.right(8, 10), "base", run_key=None))
    assert found.variance.variance == pytest.approx(0.005**2)
    both = term(make.rate(make.right(8, 10), "x", run_key=None), make.rate(make.right(8, 10), "base", run_key=None))
    assert both.knowledge == "same"


def test_stored_seeds_are_pooled(make: Any) -> None:
    new = make.rate(make.right(8, 10), "a", seeds=3, seed_sd=0.004)
    old = make.rate(make.right(8, 10), "b", seeds=5, seed_sd=0.008)
    found = term(new, old)
    pooled = math.sqrt((2 * 0.004**2 + 4 * 0.008**2) / 6)
    assert (found.knowledge, found.sd) == ("measured", pytest.approx(pooled))
    assert found.variance.variance == pytest.approx(pooled**2 * (1 / 3 + 1 / 5))
    assert math.isinf(found.variance.degrees_of_freedom)  # eight seeds are well known


def test_three_stored_seeds_cost_a_t_quantile(make: Any) -> None:
    found = term(make.rate(make.right(8, 10), "a"), make.rate(make.right(8, 10), "b", seeds=3, seed_sd=0.004))
    assert found.variance.degrees_of_freedom == 2.0
    few = make.rate(make.right(400, 500), "new") >= make.rate(make.right(400, 500), "old", seeds=3, seed_sd=0.01) - 0.1
    many = make.rate(make.right(400, 500), "new") >= make.rate(make.right(400, 500), "old", seeds=8, seed_sd=0.01) - 0.1
    assert few.record.change_low < many.record.change_low


def test_the_session_may_say_what_the_sd_is(make: Any) -> None:
    new, old = make.rate(make.right(8, 10), "a"), make.rate(make.right(8, 10), "b")
    assert term(new, old, 0.01).sd == 0.01
    with judging(Policy(seed_sds={"accuracy": 0.02})):
        assert (new >= old - 0.5).record.seed_sd == 0.02


def test_without_any_sd_the_verdict_says_no_seed_term(make: Any) -> None:
    unknown = replace(make.accuracy, name="exact_match", seed_sd=None)
    new, old = (make.rate(make.right(400, 500), name, metric=unknown) for name in ("a", "b"))
    record = (new >= old - 0.05).record
    assert "no seed term" in record.lines[1]
    assert any("nobody measured how exact_match varies between seeds" in line for line in record.lines)
    assert record.seed_sd is None


def test_an_assumed_sd_is_said(make: Any) -> None:
    record = (make.rate(make.right(400, 500), "a") >= make.rate(make.right(400, 500), "b") - 0.05).record
    assert any("assuming seed sd 0.5 points" in line for line in record.lines)


def test_a_measured_sd_and_the_seeds_are_said(make: Any) -> None:
    old = make.rate(make.right(400, 500), "b", seeds=3, seed_sd=0.004)
    record = (make.rate(make.right(400, 500), "a") >= old - 0.05).record
    assert any("seeds 1 vs 3, measured seed sd 0.4 points" in line for line in record.lines)


def test_the_same_training_says_nothing_of_seeds(make: Any) -> None:
    old = make.rate(make.right(400, 500), "lora", run_key="k")
    record = (make.rate(make.right(400, 500), "lora.onnx(int8)", run_key="k") >= old - 0.05).record
    assert not any("seed" in line for line in record.lines)
