"""`slmcheck compare`: runs, baselines, files of saved predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OLD, NEW = "suites/tone/old.jsonl", "suites/tone/new.jsonl"


def test_flipped_examples_come_first_and_three_in_full(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("compare", "tone/old", "tone/new")
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert lines[0] == "12 examples got worse, 0 better (accuracy)."
    shown = [index for index, line in enumerate(lines) if line.startswith("worse test")]
    assert len(shown) == 3
    assert [line.split()[0] for line in lines[shown[0] + 1 : shown[0] + 6] if line.strip()] == [
        "prompt", "Tone:", "reference", "before", "now",
    ]  # fmt: skip
    table = next(index for index, line in enumerate(lines) if line.startswith("metric"))
    assert shown[2] < table
    assert lines[table + 1].startswith("accuracy ")
    assert lines[table + 1].endswith(" -20.0 points  -29.8 .. -12.8      60  REGRESSION")


def test_what_got_better_is_shown_when_nothing_got_worse(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("compare", NEW, OLD, "--metric", "accuracy")
    assert ran.out.startswith("0 examples got worse, 12 better (accuracy).")
    assert ran.out.count("\nbetter test") == 3


def test_without_a_session_no_report_is_named(slmcheck: Callable[..., Any], project: Path) -> None:
    for sides in ((OLD, NEW), ("tone/old", "tone/new")):
        ran = slmcheck("compare", *sides, "--metric", "accuracy")
        assert "REGRESSION: the drop is real" in ran.out
        assert "slmcheck report" not in ran.out
        assert "next:" not in ran.out


def test_saved_predictions_need_no_recipe(slmcheck: Callable[..., Any], tmp_path: Path, project: Path) -> None:
    document = slmcheck("compare", OLD, NEW, "--metric", "accuracy", "--json").document
    (score,) = document["scores"]
    assert (score["old"], score["new"], score["n"], score["paired"]) == (0.9, 0.7, 60, True)
    assert score["change"] == pytest.approx(-0.2)
    assert score["change_low"] < score["change"] < score["change_high"]
    assert len(document["flips"]["worse"]) == 12
    assert len(document["flips"]["shown"]) == 3


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 0),
        (["--margin", "0.01"], 1),
        (["--margin", "0.4"], 0),
        (["--gate", "dev"], 1),
        (["--gate", "release"], 1),
        (["--gate", "release", "--margin", "0.4"], 0),
    ],
)
def test_only_a_margin_or_a_policy_makes_it_a_gate(
    arguments: list[str], status: int, slmcheck: Callable[..., Any], project: Path
) -> None:
    assert slmcheck("compare", OLD, NEW, "--metric", "accuracy", *arguments).status == status


@pytest.mark.parametrize(("gate", "status"), [("dev", 0), ("release", 1)])
def test_what_the_examples_cannot_tell_passes_in_dev_and_not_in_release(
    gate: str, status: int, slmcheck: Callable[..., Any], project: Path
) -> None:
    ran = slmcheck("compare", OLD, OLD, "--metric", "accuracy", "--gate", gate)
    assert "INCONCLUSIVE" in ran.out
    assert ran.status == status


def test_a_run_is_compared_with_its_baseline_in_either_order(slmcheck: Callable[..., Any], project: Path) -> None:
    slmcheck("evaluate", "old", "--metric", "accuracy")
    slmcheck("baseline", "accept", "old")
    predictions = project / OLD
    predictions.write_text((project / NEW).read_text())
    ran = slmcheck("compare", "baseline", "old", "--json")
    assert [(score["metric"], score["old"], score["new"]) for score in ran.document["scores"]] == [
        ("accuracy", 0.9, 0.7)
    ]
    assert slmcheck("compare", "old", "baseline", "--json").document == ran.document


def test_a_baseline_file_is_compared_without_its_run(slmcheck: Callable[..., Any], project: Path) -> None:
    slmcheck("evaluate", "old", "--metric", "accuracy")
    slmcheck("baseline", "accept", "old")
    ran = slmcheck("compare", "suites/tone/baselines/old.json", NEW, "--json")
    assert ran.document["old"] == "baseline of tone/old"
    assert [score["metric"] for score in ran.document["scores"]] == ["accuracy"]


def test_a_missing_baseline_names_the_command_that_accepts_one(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("compare", "old", "baseline")
    assert ran.status == 2
    assert "slmcheck baseline accept suites/tone/old.yaml" in ran.err


def test_a_file_in_baselines_that_is_none_is_refused(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("compare", "suites/tone/baselines/old.json", NEW)
    assert (ran.status, ran.err.splitlines()[1]) == (2, "There is no such file.")


def test_two_baselines_of_nothing_are_refused(slmcheck: Callable[..., Any], project: Path) -> None:
    assert slmcheck("compare", "baseline", "baseline").err.startswith("Both sides are 'baseline'")


def test_a_margin_is_of_one_metric(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("compare", OLD, NEW, "--margin", "0.01")
    assert (ran.status, ran.err.splitlines()[1]) == (2, "Name it: --metric NAME --margin X")


def test_a_level_out_of_range_is_refused(slmcheck: Callable[..., Any], project: Path) -> None:
    assert slmcheck("compare", OLD, NEW, "--alpha", "0.7").err.startswith("--alpha is 0.7")


def test_a_missing_file_is_said(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("compare", "nothing.jsonl", NEW)
    assert (ran.status, ran.err.splitlines()[0]) == (2, "Predictions file 'nothing.jsonl' does not exist.")


def test_other_examples_compare_unpaired_and_show_none(slmcheck: Callable[..., Any], project: Path) -> None:
    renamed = (project / NEW).read_text().replace('"id": "test', '"id": "other')
    Path("other.jsonl").write_text(renamed)
    ran = slmcheck("compare", OLD, "other.jsonl", "--metric", "accuracy", "--json")
    assert ran.document["flips"] is None
    assert ran.document["scores"][0]["paired"] is False


def test_sides_without_a_common_metric_are_refused(slmcheck: Callable[..., Any], project: Path) -> None:
    Path("texts.jsonl").write_text('{"id": "1", "nll": 2.0, "tokens": 3}\n')
    ran = slmcheck("compare", OLD, "texts.jsonl")
    assert ran.status == 2
    assert "They have no metric in common." in ran.err
