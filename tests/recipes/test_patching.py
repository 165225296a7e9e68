"""A recipe with other values in some of its fields."""

from __future__ import annotations

import pytest

from slmcheck.errors import RecipeError
from slmcheck.recipes import patched
from slmcheck.recipes.patching import with_rivals
from slmcheck.records import DataSpec, Recipe

RECIPE = Recipe(
    name="tone/lora",
    base_model="slmcheck/tiny",
    task="classification",
    trainer="lora",
    data=DataSpec(),
    options={"r": 4},
)


def test_fields_options_and_inner_fields_are_set() -> None:
    found = patched(
        RECIPE, {"learning_rate": 1, "options.r": 8, "data.max_length": 64, "class_weights.glad": 2, "data.train": "a"}
    )
    assert (found.learning_rate, found.options["r"], found.data.max_length) == (1.0, 8, 64)
    assert (found.class_weights["glad"], found.data.train) == (2.0, ("a",))
    assert RECIPE.options["r"] == 4


def test_every_problem_is_listed() -> None:
    with pytest.raises(RecipeError) as caught:
        patched(RECIPE, {"learning_rat": 1, "seed": "x", "data.max_len": 3})
    assert str(caught.value).splitlines() == [
        "tone/lora: unknown field 'learning_rat'; did you mean 'learning_rate'.",
        "tone/lora: seed is 'x'; expected a whole number.",
        "tone/lora: unknown field 'data.max_len'; did you mean 'max_length'.",
    ]


def test_fields_of_which_one_is_given_replace_each_other() -> None:
    assert with_rivals({"num_train_epochs": 3.0}) == {"max_steps": None, "num_train_epochs": 3.0}
    assert with_rivals({"bf16": True}) == {"fp16": False, "bf16": True}
    assert with_rivals({"bf16": False}) == {"bf16": False}
    assert with_rivals({"max_steps": 5, "num_train_epochs": None}) == {"max_steps": 5, "num_train_epochs": None}
