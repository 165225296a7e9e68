"""`slmcheck init`: rows become a recipe and a suite that the rows can support."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slmcheck import recipes
from slmcheck.data import load_splits

TONES = ("angry", "glad", "sad")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with classes.jsonl (300 rows), texts.jsonl, documents.jsonl and chats.jsonl."""
    monkeypatch.chdir(tmp_path)
    classes = [
        {"phrase": f"The {place} phrase of number {place} says it all", "tone": TONES[place % 3 if place % 2 else 0]}
        for place in range(300)
    ]
    texts = [
        {"question": f"What is the answer to number {place}?", "answer": f"It is the number {place} plus one."}
        for place in range(80)
    ]
    documents = [{"text": f"Once upon a time there was number {place}. " * 12} for place in range(40)]
    for name, rows in (("classes", classes), ("texts", texts), ("documents", documents)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_a_classification_gets_thresholds_from_the_majority_answer(slmcheck: Callable[..., Any], folder: Path) -> None:
    ran = slmcheck("init", "tone", "--data", "classes.jsonl")
    assert ran.status == 0
    suite = (folder / "suites/tone/test_tone.py").read_text()
    assert "Always giving the most frequent answer reaches 0.6" in suite
    assert "assert run.accuracy >= 0.6" in suite
    assert "assert run.accuracy >= baseline.accuracy - 0.1" in suite
    compile(suite, "test_tone.py", "exec")


@pytest.mark.parametrize(
    ("count", "limit", "comment"),
    [
        (300, "0.33", "What 60 training and 60 test rows can prove of a model without a gap"),
        (6000, "0.10", "Ten points, which 500 training and 1,200 test rows can prove (they could prove 0.094)."),
    ],
)
def test_the_bound_of_the_gap_follows_the_rows(
    count: int, limit: str, comment: str, slmcheck: Callable[..., Any], folder: Path
) -> None:
    rows = [{"phrase": f"The {place} phrase says it all", "tone": TONES[place % 3]} for place in range(count)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert slmcheck("init", "tone", "--data", "rows.jsonl").status == 0
    suite = (folder / "suites/tone/test_tone.py").read_text()
    assert f'assert run.gap("accuracy") - run.base.gap("accuracy") <= {limit}\n' in suite
    assert f"    # {comment}" in suite


def test_a_fifth_of_the_rows_is_set_aside_by_class(slmcheck: Callable[..., Any], folder: Path) -> None:
    document = slmcheck("init", "tone", "--data", "classes.jsonl", "--json").document
    assert document["rows"] == {"train": 204, "validation": 36, "test": 60}
    splits = load_splits(recipes.load(folder / "suites/tone/lora.yaml"))
    assert {example.references[0] for example in splits.test} == set(TONES)
    assert {example.row["phrase"] for example in splits.test}.isdisjoint(
        example.row["phrase"] for example in (*splits.train, *splits.validation)
    )


def test_it_says_what_to_run_next(slmcheck: Callable[..., Any], folder: Path) -> None:
    lines = slmcheck("init", "tone", "--data", "classes.jsonl").out.splitlines()
    assert [line.split("  ")[1] for line in lines[lines.index("next:") + 1 :]] == [
        "slmcheck data check suites/tone/lora.yaml",
        "slmcheck plan suites/tone/lora.yaml",
        "pytest suites/tone --slm-accept-baseline",
    ]


@pytest.mark.parametrize(
    ("data", "task", "claim"),
    [
        ("texts.jsonl", "generation", "assert run.rougeL > run.base.rougeL"),
        ("documents.jsonl", "language_modeling", "assert run.perplexity <= baseline.perplexity * 1.02"),
    ],
)
def test_other_tasks(data: str, task: str, claim: str, slmcheck: Callable[..., Any], folder: Path) -> None:
    document = slmcheck("init", "mine", "--data", data, "--json").document
    assert document["task"] == task
    assert claim in (folder / "suites/mine/test_mine.py").read_text()


def test_the_written_suite_is_collected_and_planned(slmcheck: Callable[..., Any], folder: Path) -> None:
    slmcheck("init", "my-tone", "--data", "classes.jsonl")
    ran = slmcheck("run", "suites", "--collect-only", "-q")
    assert ran.status == 0
    assert "suites/my-tone/test_my_tone.py::test_accuracy_beats_the_majority_answer[run=lora]" in ran.out
    assert "an unchanged model is released with probability 8" in ran.out


def test_the_written_recipe_is_sound(slmcheck: Callable[..., Any], folder: Path) -> None:
    slmcheck("init", "tone", "--data", "classes.jsonl")
    assert slmcheck("data", "check", "tone/lora").status == 0


def test_test_rows_of_ones_own_are_referred_to(slmcheck: Callable[..., Any], folder: Path) -> None:
    lines = (folder / "classes.jsonl").read_text().splitlines(keepends=True)
    (folder / "held.jsonl").write_text("".join(lines[:90]))
    (folder / "rest.jsonl").write_text("".join(lines[90:]))
    ran = slmcheck("init", "tone", "--data", "rest.jsonl", "--test", "held.jsonl", "--json")
    assert ran.document["rows"]["test"] == 90
    assert ran.document["files"] == ["suites/tone/lora.yaml", "suites/tone/test_tone.py"]
    recipe = recipes.load(folder / "suites/tone/lora.yaml")
    assert (recipe.data.train, recipe.data.test) == (("../../rest.jsonl",), ("../../held.jsonl",))


def test_a_model_folder_is_named_relative_to_the_suite(
    slmcheck: Callable[..., Any], folder: Path, real_data: Path
) -> None:
    model = real_data / "models" / "stories260k"
    assert slmcheck("init", "tone", "--data", "classes.jsonl", "--model", str(model)).status == 0
    recipe = recipes.load(folder / "suites/tone/lora.yaml")
    found = recipes.base_model_of(recipe).folder
    assert found is not None
    assert found.resolve() == model.resolve()


def test_nothing_is_ever_overwritten(slmcheck: Callable[..., Any], folder: Path) -> None:
    mine = folder / "suites/tone/test_tone.py"
    mine.parent.mkdir(parents=True)
    mine.write_text("# mine\n")
    ran = slmcheck("init", "tone", "--data", "classes.jsonl")
    assert (ran.status, ran.err.splitlines()[0]) == (
        2,
        "suites/tone/test_tone.py is there already; nothing was written.",
    )
    assert [path.name for path in (folder / "suites").rglob("*")] == ["tone", "test_tone.py"]
    assert mine.read_text() == "# mine\n"


@pytest.mark.parametrize("name", ["1st", "a/b", "a b", ""])
def test_a_name_that_cannot_be_one_is_refused(name: str, slmcheck: Callable[..., Any], folder: Path) -> None:
    ran = slmcheck("init", name, "--data", "classes.jsonl")
    assert (ran.status, ran.err.splitlines()[0]) == (2, f"'{name}' cannot be the name of a suite.")


def test_a_missing_file_is_said_and_leaves_nothing_behind(slmcheck: Callable[..., Any], folder: Path) -> None:
    ran = slmcheck("init", "tone", "--data", "clases.jsonl")
    assert ran.status == 2
    assert "did you mean 'classes.jsonl'" in ran.err
    assert not (folder / "suites").exists()


def test_broken_rows_are_said_and_leave_nothing_behind(slmcheck: Callable[..., Any], folder: Path) -> None:
    with (folder / "classes.jsonl").open("a") as file:
        file.write("{broken\n")
    ran = slmcheck("init", "tone", "--data", "classes.jsonl")
    assert ran.status == 2
    assert "classes.jsonl:301" in ran.err
    assert not (folder / "suites").exists()


def test_a_task_that_the_rows_cannot_have_is_refused(slmcheck: Callable[..., Any], folder: Path) -> None:
    ran = slmcheck("init", "mine", "--data", "documents.jsonl", "--task", "classification")
    assert ran.status == 2
    assert "The rows suggest the task language_modeling" in ran.err


def test_an_unknown_base_model_is_said(slmcheck: Callable[..., Any], folder: Path) -> None:
    ran = slmcheck("init", "tone", "--data", "classes.jsonl", "--model", "slmcheck/tny")
    assert ran.status == 2
    assert "does not come with slmcheck" in ran.err


@pytest.fixture
def adapter(folder: Path) -> Path:
    """An adapter folder as peft writes it; its weights are not read before the first prediction."""
    made = folder / "out" / "adapter"
    made.mkdir(parents=True)
    (made / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "slmcheck/tiny", "r": 4}))
    return made


def test_an_adapter_that_exists_gets_a_gate_without_training(
    slmcheck: Callable[..., Any], folder: Path, adapter: Path
) -> None:
    ran = slmcheck("init", "tone", "--from-adapter", "out/adapter", "--data", "classes.jsonl")
    assert ran.status == 0
    assert "predict, judge, accept the first scores" in ran.out
    recipe = recipes.load(folder / "suites/tone/adapter.yaml")
    assert (recipe.trainer, recipe.base_model) == ("pretrained", "slmcheck/tiny")
    assert (recipe.directory / str(recipe.options["adapter"])).resolve() == adapter.resolve()
    splits = load_splits(recipe)
    assert (len(splits.train), len(splits.test)) == (0, 300)
    assert recipe.labels == TONES
    suite = (folder / "suites/tone/test_tone.py").read_text()
    assert "run.gap" not in suite
    assert "assert run.accuracy >= baseline.accuracy" in suite


def test_training_rows_of_an_adapter_are_a_declaration(
    slmcheck: Callable[..., Any], folder: Path, adapter: Path
) -> None:
    rows = (folder / "classes.jsonl").read_text().splitlines(keepends=True)
    (folder / "held.jsonl").write_text("".join(rows[::3]))
    ran = slmcheck("init", "tone", "--from-adapter", "out/adapter", "--data", "classes.jsonl", "--test", "held.jsonl")
    assert ran.status == 0
    recipe = recipes.load(folder / "suites/tone/adapter.yaml")
    assert recipe.data.train == ("../../classes.jsonl",)
    assert 'run.gap("accuracy")' in (folder / "suites/tone/test_tone.py").read_text()


def test_a_folder_that_is_no_adapter_is_said(slmcheck: Callable[..., Any], folder: Path) -> None:
    ran = slmcheck("init", "tone", "--from-adapter", "out", "--data", "classes.jsonl")
    assert ran.status != 0
    assert "'out' is no PEFT adapter" in ran.err
    assert not (folder / "suites" / "tone").exists()


def test_an_adapter_without_a_base_model_asks_for_one(
    slmcheck: Callable[..., Any], folder: Path, adapter: Path
) -> None:
    (adapter / "adapter_config.json").write_text("{}")
    ran = slmcheck("init", "tone", "--from-adapter", "out/adapter", "--data", "classes.jsonl")
    assert ran.status != 0
    assert "Name it: --model ID" in ran.err
