"""`slmcheck data check`: every problem at once, one rendered row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

SUITE = Path("suites/tone")


def test_sound_rows_are_shown_as_the_model_reads_them(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("data", "check", "tone/old")
    assert ran.status == 0
    assert ran.out.startswith("tone/old: 20 train, 4 validation, 60 test rows; scores are of test.")
    assert "Tone:[[ angry</s>]]" in ran.out
    assert "warning: 3 of 3 classes have fewer than 10 training rows." in ran.out


def test_every_problem_is_listed_with_file_and_line(slmcheck: Callable[..., Any], project: Path) -> None:
    path = SUITE / "data" / "train.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace('"tone"', '"mood"')
    lines[4] = "{broken"
    lines[6] = lines[6].replace('"phrase train 6', '"')
    path.write_text("\n".join([*lines[:6], '{"id": "x", "phrase": "  ", "tone": "sad"}', *lines[7:]]) + "\n")
    ran = slmcheck("data", "check", "tone/old")
    assert ran.status == 1
    problems = [line.strip() for line in ran.out.splitlines() if line.startswith("  data/")]
    assert [problem.partition(": ")[0] for problem in problems] == [
        "data/train.jsonl:5",
        "data/train.jsonl:3",
        "data/train.jsonl:7",
    ]


def test_a_finding_that_is_a_problem_makes_the_check_false(slmcheck: Callable[..., Any], project: Path) -> None:
    test, train = SUITE / "data" / "test.jsonl", SUITE / "data" / "train.jsonl"
    test.write_text(test.read_text() + train.read_text())
    ran = slmcheck("data", "check", "tone/old", "--json")
    assert ran.status == 1
    assert ran.document["is_sound"] is False
    assert ran.document["findings"][0]["severity"] == "problem"


def test_ids_are_listed_for_saved_predictions(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("data", "check", "tone/old", "--ids")
    assert "test3  test  data/test.jsonl:4" in ran.out.splitlines()
    document = slmcheck("data", "check", "tone/old", "--ids", "--json").document
    assert document["ids"]["test"][3] == {"id": "test3", "source": "data/test.jsonl:4"}


def test_problems_of_the_recipe_are_listed_all_at_once(slmcheck: Callable[..., Any], project: Path) -> None:
    path = SUITE / "old.yaml"
    path.write_text(path.read_text().replace("trainer: pretrained", "trainer: lroa") + "learning_rat: 1\nseed: -1\n")
    ran = slmcheck("data", "check", str(path))
    assert ran.status == 2
    assert "3 problems" in ran.err.splitlines()[0]


def test_a_missing_recipe_is_said(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("data", "check", "suites/tone/lora.yaml")
    assert (ran.status, ran.err.splitlines()[0]) == (2, "There is no recipe file 'suites/tone/lora.yaml'.")
