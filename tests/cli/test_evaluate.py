"""`slmcheck evaluate` on runs and saved predictions; models are in test_train.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_a_run_is_scored_by_the_usual_metrics_and_says_which_it_cannot_give(
    slmcheck: Callable[..., Any], project: Path
) -> None:
    ran = slmcheck("evaluate", "old")
    assert ran.status == 0
    assert "accuracy           0.900   0.799 .. 0.953    60  old, test" in ran.out
    assert "left out: brier is undefined" in ran.out


def test_saved_predictions_need_no_data(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("evaluate", "suites/tone/new.jsonl", "--metric", "accuracy,f1", "--json")
    scores = ran.document["scores"]
    assert [(score["metric"], score["value"]) for score in scores] == [("accuracy", 0.7), ("f1", pytest.approx(0.7))]


def test_other_rows_are_scored_under_the_recipe_of_the_run(slmcheck: Callable[..., Any], project: Path) -> None:
    lines = (project / "suites/tone/data/test.jsonl").read_text().splitlines()[:10]
    Path("some.jsonl").write_text("\n".join(lines) + "\n")
    ran = slmcheck("evaluate", "tone/old", "--data", "some.jsonl", "--metric", "accuracy", "--json")
    assert [(score["value"], score["n"]) for score in ran.document["scores"]] == [(0.4, 10)]


def test_a_corrected_label_is_measured_again(slmcheck: Callable[..., Any], project: Path) -> None:
    def accuracy() -> float:
        return slmcheck("evaluate", "old", "--metric", "accuracy", "--json").document["scores"][0]["value"]

    assert accuracy() == 0.9
    path = project / "suites/tone/data/test.jsonl"
    path.write_text(path.read_text().replace('"tone": "angry"', '"tone": "glad"', 1))
    assert accuracy() == pytest.approx(55 / 60)


def test_saved_predictions_must_say_what_they_are_scored_by(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("evaluate", "suites/tone/new.jsonl")
    assert (ran.status, ran.err.splitlines()[1]) == (2, "Name it: --metric NAME")


def test_an_unknown_metric_lists_those_there_are(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("evaluate", "old", "--metric", "acuracy")
    assert ran.status == 2
    assert "Did you mean 'accuracy'?" in ran.err


def test_a_metric_that_the_predictions_cannot_give_is_an_error_when_it_is_named(
    slmcheck: Callable[..., Any], project: Path
) -> None:
    ran = slmcheck("evaluate", "old", "--metric", "accuracy", "--metric", "brier")
    assert ran.status == 2
    assert ran.err.startswith("brier is undefined")


def test_a_run_takes_its_template_from_its_own_recipe(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("evaluate", "old", "--task", "generation")
    assert ran.status == 2
    assert ran.err.startswith("'old' is a run: its own recipe supplies task.")


def test_a_bare_model_needs_rows(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("evaluate", "slmcheck/tiny", "--metric", "accuracy")
    assert ran.status == 2
    assert ran.err.startswith("'slmcheck/tiny' is no run, so it has no rows of its own.")


def test_a_bare_model_needs_a_template(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("evaluate", "slmcheck/tiny", "--data", "suites/tone/data/test.jsonl", "--metric", "accuracy")
    assert ran.status == 2
    assert "Rows with the fields prompt and reference need none" in ran.err


def test_a_misspelt_run_is_not_taken_for_a_model_of_a_hub(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("evaluate", "tone/odl", "--metric", "accuracy")
    assert ran.status == 2
    assert "Did you mean 'tone/old'?" in ran.err


def test_an_unknown_hub_id_says_how_to_get_it(slmcheck: Callable[..., Any], project: Path) -> None:
    Path("rows.jsonl").write_text(json.dumps({"prompt": "2 + 2 =", "reference": "4"}) + "\n")
    ran = slmcheck("evaluate", "nobody/has-this", "--data", "rows.jsonl", "--metric", "exact_match")
    assert ran.status == 2
    assert "hf download nobody/has-this" in ran.err


def test_an_untrained_recipe_names_the_command_that_trains_it(slmcheck: Callable[..., Any], project: Path) -> None:
    recipe = project / "suites/tone/lora.yaml"
    text = (project / "suites/tone/old.yaml").read_text()
    recipe.write_text(
        text.replace("trainer: pretrained", "trainer: lora").replace("options: {predictions: old.jsonl}", "")
    )
    ran = slmcheck("evaluate", "tone/lora", "--metric", "accuracy")
    assert ran.status == 2
    assert ran.err.splitlines()[0].startswith("Recipe 'tone/lora' has no run yet")
    assert ran.err.splitlines()[2] == "Train it: slmcheck train suites/tone/lora.yaml"


def test_what_is_neither_run_nor_model_is_said(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("evaluate", "nothing", "--metric", "accuracy")
    assert ran.status == 2
    assert ran.err.splitlines()[0] == "'nothing' is neither a run nor a model."


def test_a_missing_file_of_rows_is_said(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("evaluate", "slmcheck/tiny", "--data", "none.jsonl", "--metric", "loss")
    assert ran.status == 2
    assert "none.jsonl: file not found" in ran.err
