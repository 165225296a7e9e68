"""Studies from the command line and from a suite: announced, told, in the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slmcheck.cli import main
from tests.studies.conftest import write_project

SUITE = "def test_accuracy(run):\n    assert run.accuracy >= 0.9\n"


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The suite of saved predictions in the current folder."""
    found = write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLMCHECK_STORE", raising=False)
    return found


def test_training_a_recipe_with_a_search_shows_its_trials(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tone/search"]) == 0
    first = capsys.readouterr()
    assert first.err.splitlines()[0].startswith("search of tone/search: at most 8 trainings")
    assert "trial 1 of 8: options.predictions " in first.err
    assert "search: 8 of 8 trials (8 complete), tpe" in first.out
    assert main(["train", "tone/search", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["complete"]
    assert document["search"]["best"]["value"] == pytest.approx(0.95)
    assert document["keys"] == [document["search"]["best"]["run_key"]]


def test_a_budget_that_is_no_time_is_refused(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tone/search", "--budget", "-1"]) == 2
    assert "The budget is -1 minutes; expected a number above 0." in capsys.readouterr().err


def test_comparing_explains(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (suite / "plain.yaml").read_text()
    changed = text.replace("wrong_6.jsonl", "wrong_30.jsonl") + "seed: 4\nweight_decay: 0.1\n"
    (suite / "changed.yaml").write_text(changed)
    for name in ("plain", "changed"):
        assert main(["train", f"tone/{name}"]) == 0
    capsys.readouterr()
    assert main(["compare", "tone/plain", "tone/changed", "--explain", "--metric", "accuracy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0] == "options.predictions (wrong_6.jsonl -> wrong_30.jsonl) accounts for -20.0 points of -20.0 points."
    )
    assert lines[1].startswith("accuracy: 0.950 (tone/plain) -> 0.750 (tone/changed), -20.0 points (")
    assert [line.split()[0] for line in lines[3:6]] == ["options.predictions", "weight_decay", "seed"]
    assert main(["compare", "tone/plain", "tone/changed", "--explain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["causes"] == ["options.predictions"]


def test_an_explanation_is_no_gate(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "tone/plain", "tone/plain", "--explain", "--gate", "release"]) == 2
    assert "--explain takes one --metric" in capsys.readouterr().err


def test_a_diagnosis_draws_the_learning_curve(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tone/plain"]) == 0
    capsys.readouterr()
    main(["diagnose", "tone/plain", "--learning-curve", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert [point["rows"] for point in document["learning_curve"]["points"]] == [15, 30, 60]
    assert document["learning_curve"]["verdict"] == "undecided"


def test_a_suite_searches_once_and_its_report_shows_the_trials(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLMCHECK_STORE", raising=False)
    suite = write_project(pytester.path)
    (suite / "plain.yaml").unlink()
    (suite / "test_tone.py").write_text(SUITE)
    result = pytester.runpytest_inprocess("tone", "--slm-report=report")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["slmcheck: search of tone/search: at most 8 trainings*"])
    report = json.loads((pytester.path / "report" / "report.json").read_text())
    assert len(report["runs"][0]["search"]["trials"]) == 8
    page = (pytester.path / "report" / "report.html").read_text()
    assert "of 8 trials (8 complete) was best: accuracy 0.9500" in page
    assert "<h3>Search</h3>" in page
    assert "of 8 trials" in (pytester.path / "report" / "report.md").read_text()
    again = pytester.runpytest_inprocess("tone", "--slm-offline")
    again.assert_outcomes(passed=1)
    again.stdout.no_fnmatch_line("slmcheck: search of*")
