from dataclasses import replace

from slmcheck import recipes


def test_what_readers_look_for_is_always_there(write_recipe):
    shown = recipes.describe(recipes.load(write_recipe()))
    assert shown["learning_rate"] == 2e-4
    assert shown["num_train_epochs"] == 3.0
    assert shown["data.max_length"] == 512
    assert "weight_decay" not in shown
    assert "max_steps" not in shown


def test_options_and_what_differs_from_the_default_are_shown(write_recipe):
    recipe = recipes.load(write_recipe("weight_decay: 0.1\nmax_steps: 5\noptions: {r: 4}\nevaluation: {top_p: 0.5}\n"))
    shown = recipes.describe(recipe)
    assert (shown["weight_decay"], shown["max_steps"]) == (0.1, 5)
    assert (shown["options.r"], shown["evaluation.top_p"]) == (4, 0.5)
    assert "num_train_epochs" not in shown


def test_paths_and_names_are_no_hyperparameters(write_recipe):
    recipe = recipes.load(write_recipe())
    assert recipes.describe(recipe) == recipes.describe(replace(recipe, name="x", path=None))
