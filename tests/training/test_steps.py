from __future__ import annotations

from dataclasses import replace

import pytest

from slmcheck.training.steps import plan_updates


def plan(recipe, *, rows=100, row_tokens=10_000, evaluated_tokens=1_000, **changes):
    fields = {"max_steps": None, "eval_steps": None, **changes}
    return plan_updates(replace(recipe, **fields), rows=rows, row_tokens=row_tokens, evaluated_tokens=evaluated_tokens)


def test_three_epochs_are_the_default(recipe) -> None:
    assert plan(recipe).total_steps == 3 * 13


def test_a_part_of_an_epoch_is_rounded_up(recipe) -> None:
    assert plan(recipe, num_train_epochs=0.5).total_steps == 7


def test_accumulation_makes_fewer_updates(recipe) -> None:
    assert plan(recipe, gradient_accumulation_steps=4).steps_per_epoch == 4


def test_max_steps_is_taken_as_it_is(recipe) -> None:
    assert plan(recipe, max_steps=7).total_steps == 7


def test_the_warmup_ratio_becomes_updates(recipe) -> None:
    assert plan(recipe, warmup_ratio=0.1).warmup_steps == 4


def test_eval_steps_is_taken_as_it_is(recipe) -> None:
    assert plan(recipe, eval_steps=5).eval_steps == 5


def test_cheap_evaluations_are_made_about_ten_times(recipe) -> None:
    assert plan(recipe, num_train_epochs=4, evaluated_tokens=100).eval_steps == pytest.approx(52 / 10, abs=1)


def test_dear_evaluations_are_made_five_times(recipe) -> None:
    assert plan(recipe, num_train_epochs=3, evaluated_tokens=1_000_000).eval_steps == 8


def test_there_is_one_evaluation_an_epoch_at_least(recipe) -> None:
    assert plan(recipe, num_train_epochs=30, evaluated_tokens=1_000_000).eval_steps == 13


def test_a_training_of_one_update_is_evaluated_once(recipe) -> None:
    assert plan(recipe, max_steps=1).eval_steps == 1
