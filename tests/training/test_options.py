from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import pytest

from slmcheck.errors import RecipeError
from slmcheck.training.options import NoOptions, loop_problems, read_options, recipe_error


@dataclass(frozen=True, kw_only=True)
class Options:
    rank: int = 4
    rate: float = 0.5
    names: str | tuple[str, ...] = "all"
    start: bool | Literal["zero"] = True


def test_options_are_read_by_their_types(recipe) -> None:
    given = replace(recipe, options={"rank": 2, "rate": 1, "names": ["a", "b"], "start": "zero"})
    assert read_options(Options, given) == Options(rank=2, rate=1.0, names=("a", "b"), start="zero")


def test_every_wrong_option_is_named(recipe) -> None:
    given = replace(recipe, options={"rnk": 2, "rate": "high", "start": "one"})
    with pytest.raises(RecipeError) as error:
        read_options(Options, given)
    assert "has 3 problems" in str(error.value)
    assert "did you mean 'rank'" in str(error.value)
    assert "options.rate is 'high'" in str(error.value)
    assert "options.start is 'one'" in str(error.value)


def test_a_trainer_without_options_takes_none(recipe) -> None:
    with pytest.raises(RecipeError, match=r"options\.r"):
        read_options(NoOptions, recipe)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "sequence_classification"}, "use 'classification'"),
        ({"lr_scheduler_type": "cosin"}, "did you mean 'cosine'"),
        ({"optim": "adamw"}, "did you mean 'adamw_torch'"),
        ({"loss": "losses.py:Focal"}, "losses.py cannot be read"),
        ({"report_to": "wandb"}, "expected one of none, tensorboard"),
    ],
)
def test_what_the_loop_cannot_do_is_said(recipe, changes, said) -> None:
    (problem,) = loop_problems(replace(recipe, **changes))
    assert said in problem


def test_a_recipe_for_the_loop_has_no_problems(recipe) -> None:
    assert loop_problems(recipe) == []


def test_one_problem_is_counted_as_one(recipe) -> None:
    assert str(recipe_error(recipe, ["it is so"])) == "Recipe 'suite/recipe' has 1 problem.\nit is so."
