"""The search block of a recipe: every problem with its line, and what was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from slmcheck import recipes
from slmcheck.errors import RecipeError
from slmcheck.recipes.searching import canonical
from slmcheck.records import SearchRange

BASE = """\
base_model: slmcheck/tiny
trainer: lora
task: classification
data:
  train: train.jsonl
  test: test.jsonl
  text_template: "Phrase: {phrase}\\nTone: {tone}"
  answer: tone
search:
"""
LINE = BASE.count("\n") + 1
"""Number of the first line of the search."""


def problems_of(folder: Path, block: str, base: str = BASE) -> list[str]:
    path = folder / "recipe.yaml"
    path.write_text(base + block, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        recipes.load(path)
    lines = str(caught.value).replace(f"{path}:", "").splitlines()
    return lines[1:] if "problems." in lines[0] else lines


def test_a_search_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        BASE + "  num_trials: 5\n  sampler: random\n  space:\n"
        "    learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\n"
        "    options.r: {choices: [4, 8]}\n    data.max_length: {low: 64, high: 256, step: 64}\n"
    )
    search = recipes.load(path).search
    assert search is not None
    assert (search.num_trials, search.sampler, search.metric) == (5, "random", "validation_loss")
    assert {name: values.kind for name, values in search.space.items()} == {
        "learning_rate": "float",
        "options.r": "choice",
        "data.max_length": "int",
    }


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("  space: {}\n", "search.space names no field to search, such as learning_rate."),
        ("  sampler: tep\n  space: {seed: {low: 1, high: 2}}\n", "expected one of tpe, random; did you mean 'tpe'?"),
        ("  num_trial: 3\n", "unknown field 'search.num_trial'; did you mean 'num_trials'?"),
        ("  learning_rate: {low: 1.0}\n", "'learning_rate' belongs under 'search.space'."),
        ("  num_trials: 0\n  space: {options.r: {choices: [1, 2]}}\n", "search.num_trials is 0; expected at least 1"),
        ("  space: {learning_rat: {low: 1, high: 2}}\n", "did you mean 'learning_rate'?"),
        ("  space: {max_length: {low: 8, high: 16}}\n", "'max_length' belongs under 'data'."),
        ("  space: {options.rank: {choices: [4, 8]}}\n", "unknown field 'options.rank'; known here: r,"),
        ("  space: {seed: {low: 1, high: 4}}\n", "'seed' cannot be searched; it is no setting to choose"),
        ("  space: {logging_steps: {low: 1, high: 4}}\n", "'logging_steps' decides nothing of the training"),
        ("  space: {evaluation.few_shot: {low: 1, high: 4}}\n", "decides nothing of the training"),
        ("  space: {options: {choices: [1, 2]}}\n", "name one field, as in options.r."),
        ("  space: {learning_rate: {low: 1e-4, high: 1.0e-2}}\n", "'1e-4': YAML 1.1 reads it so; write 1.0e-4."),
        ("  space: {learning_rate: {low: 0.1}}\n", "search.space.learning_rate.high is missing"),
        ("  space: {options.r: {low: 8, high: 4}}\n", "high is 4; expected more than low, 8."),
        ("  space: {weight_decay: {low: 0.0, high: 0.1, log: true}}\n", "a logarithmic scale needs a low above 0."),
        ("  space: {weight_decay: {low: 0.01, high: 0.1, log: true, step: 0.01}}\n", "step does not go with log"),
        ("  space: {options.r: {choices: [4]}}\n", "choices need two values at least."),
        ("  space: {options.r: {choices: [4, 4]}}\n", "choices hold a value twice."),
        ("  space: {options.r: {choices: [4, 8], low: 1}}\n", "low does not go with choices."),
        ("  space: {warmup_ratio: {low: 0.1, high: 1.5}}\n", "warmup_ratio is 1.5; expected at least 0 and below 1."),
        ("  space: {gradient_accumulation_steps: {low: 1.5, high: 4.5}}\n", "is 1.5; expected a whole number."),
        ("  space: {lr_scheduler_type: {choices: [cosine, 5]}}\n", "lr_scheduler_type is 5; expected text."),
    ],
)  # fmt: skip
def test_a_problem_is_told_with_its_line(tmp_path: Path, block: str, expected: str) -> None:
    found = [text for text in problems_of(tmp_path, block) if expected in text]
    assert len(found) == 1
    number = int(found[0].split(":")[0])
    assert LINE - 1 <= number < LINE + block.count("\n")


def test_a_search_without_test_rows_is_refused(tmp_path: Path) -> None:
    block = "  space: {options.r: {choices: [4, 8]}}\n"
    found = problems_of(tmp_path, block, BASE.replace("  test: test.jsonl\n", ""))
    assert any("scores must be of rows that it never saw: give data.test" in text for text in found)
    on_purpose = BASE.replace("  test: test.jsonl\n", "  test: test.jsonl\n  evaluate_on: validation\n")
    assert any("leave evaluate_on out" in text for text in problems_of(tmp_path, block, on_purpose))


def test_what_a_searched_field_holds_in_the_recipe_does_not_count(tmp_path: Path) -> None:
    block = "  space: {learning_rate: {low: 0.1, high: 0.2}, options.r: {choices: [4, 8]}}\n"
    found = []
    for rate in ("0.001", "0.002"):
        path = tmp_path / "recipe.yaml"
        path.write_text(f"learning_rate: {rate}\n{BASE}{block}")
        found.append(canonical(recipes.load(path)))
    assert found[0] == found[1]
    assert (found[0].learning_rate, found[0].options["r"], found[0].search) == (0.1, 4, None)


def test_a_range_with_a_type_keeps_it() -> None:
    assert SearchRange(low=1, high=4, type="float").kind == "float"
    assert SearchRange(low=1, high=4).kind == "int"
    assert SearchRange(low=1, high=4.5).kind == "float"
