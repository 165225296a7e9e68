"""`slmcheck diagnose`: the cause, its evidence and its remedy; exit status 1 where there is a problem."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.conftest import ROWS, TONES, write_rows


def test_a_run_without_a_problem_ends_with_0(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("diagnose", "tone/old")
    assert ran.status == 0
    assert "right answers by class" in ran.out


def test_a_problem_is_named_first_and_ends_with_1(slmcheck: Callable[..., Any], project: Path) -> None:
    always = [{"id": f"test{n}", "prediction": "glad", "reference": TONES[n % 3]} for n in range(ROWS)]
    write_rows(project / "suites" / "tone" / "old.jsonl", always)
    ran = slmcheck("diagnose", "tone/old")
    assert ran.status == 1
    assert ran.out.splitlines()[0] == "tone/old: majority-collapse"
    assert "what follows from it:" in ran.out


def test_json_has_the_findings_in_order(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("diagnose", "tone/new", "--json")
    document = json.loads(ran.out)
    assert document["run"] == "tone/new"
    severities = [finding["severity"] for finding in document["findings"]]
    assert severities == sorted(severities, key=["problem", "warning", "note"].index)
    assert all({"cause", "evidence", "remedy", "recipe_patch", "numbers"} <= set(one) for one in document["findings"])


def test_the_changed_recipe_is_written_and_named(slmcheck: Callable[..., Any], project: Path) -> None:
    always = [{"id": f"test{n}", "prediction": "glad", "reference": TONES[n % 3]} for n in range(ROWS)]
    write_rows(project / "suites" / "tone" / "old.jsonl", always)
    ran = slmcheck("diagnose", "tone/old", "--write-recipe", "fixed.yaml")
    assert "wrote fixed.yaml" in ran.out
    assert "learning_rate" in (project / "fixed.yaml").read_text()


def test_an_unknown_run_is_named(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("diagnose", "tone/od")
    assert ran.status == 2
    assert "tone/od" in ran.err
