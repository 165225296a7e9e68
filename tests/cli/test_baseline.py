"""`slmcheck baseline`: accept, show, diff."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUITE = Path("suites/tone")


@pytest.fixture
def measured(slmcheck: Callable[..., Any], project: Path) -> Callable[..., Any]:
    """The accuracy of tone/old is in the store."""
    assert slmcheck("evaluate", "old", "--metric", "accuracy").status == 0
    return slmcheck


def worsen() -> None:
    """Let tone/old answer as tone/new does."""
    shutil.copyfile(SUITE / "new.jsonl", SUITE / "old.jsonl")


def test_accepting_writes_what_the_store_holds(measured: Callable[..., Any]) -> None:
    ran = measured("baseline", "accept", "old")
    assert ran.status == 0
    assert ran.out.splitlines()[0] == "Accepted 1 scores: suites/tone/baselines/old.json"
    header = json.loads((SUITE / "baselines/old.json").read_text())
    assert [score["metric"] for score in header["scores"]] == ["accuracy"]
    assert header["accepted"]["scores"]["accuracy"][0] == 0.9
    assert len((SUITE / "baselines/old.examples.jsonl").read_text().splitlines()) == 60


def test_accepting_what_was_never_measured_is_wrong_usage_and_writes_nothing(
    slmcheck: Callable[..., Any], project: Path
) -> None:
    ran = slmcheck("baseline", "accept", "old")
    assert ran.status == 2
    assert "Accepting never measures" in ran.err
    assert not (SUITE / "baselines").exists()


def test_a_regression_is_refused_without_a_reason(measured: Callable[..., Any]) -> None:
    measured("baseline", "accept", "old")
    before = (SUITE / "baselines/old.json").read_bytes()
    worsen()
    measured("evaluate", "old", "--metric", "accuracy")
    ran = measured("baseline", "accept", "old")
    assert ran.status == 1
    assert "--accept-regression REASON" in ran.err
    assert (SUITE / "baselines/old.json").read_bytes() == before


def test_a_regression_with_a_reason_is_accepted_and_the_reason_kept(measured: Callable[..., Any]) -> None:
    measured("baseline", "accept", "old")
    worsen()
    measured("evaluate", "old", "--metric", "accuracy")
    assert measured("baseline", "accept", "old", "--accept-regression", "smaller model").status == 0
    shown = measured("baseline", "show", "old").out
    assert "accepted although accuracy fell  smaller model" in shown


def test_accepting_never_touches_the_baselines_of_others(measured: Callable[..., Any]) -> None:
    other = SUITE / "baselines" / "someone.json"
    other.parent.mkdir()
    other.write_text("{}")
    measured("baseline", "accept", "old")
    assert other.read_text() == "{}"


def test_an_anchor_is_a_file_of_its_own(measured: Callable[..., Any]) -> None:
    assert measured("baseline", "accept", "old", "--anchor").status == 0
    assert sorted(path.name for path in (SUITE / "baselines").iterdir()) == [
        ".gitattributes",
        "old.anchor.examples.jsonl",
        "old.anchor.json",
    ]
    assert "old.anchor.json" in measured("baseline", "show", "old", "--anchor").out


def test_answers_can_be_kept_as_hashes(measured: Callable[..., Any]) -> None:
    measured("baseline", "accept", "old", "--private")
    assert "angry" not in (SUITE / "baselines/old.examples.jsonl").read_text()


def test_what_a_session_measured_elsewhere_is_accepted_without_store(
    measured: Callable[..., Any], project: Path
) -> None:
    assert measured("run", "suites", "-q", "--slm-report", "report").status == 1  # no baseline yet
    shutil.rmtree(project / ".slmcheck")
    ran = measured("baseline", "accept", "tone/old", "--from", "report")
    assert ran.status == 0
    assert (SUITE / "baselines/old.json").is_file()
    assert not (project / ".slmcheck").exists()


def test_a_report_without_the_run_is_refused(measured: Callable[..., Any]) -> None:
    Path("report").mkdir()
    ran = measured("baseline", "accept", "old", "--from", "report")
    assert (ran.status, ran.err.splitlines()[0]) == (2, "The report 'report' has no scores of 'tone/old'.")


def test_a_missing_report_is_said(measured: Callable[..., Any]) -> None:
    ran = measured("baseline", "accept", "old", "--from", "nowhere")
    assert (ran.status, ran.err.splitlines()[0]) == (2, "There is no report at 'nowhere'.")


@pytest.mark.parametrize("command", ["show", "diff"])
def test_a_missing_baseline_names_the_command(command: str, measured: Callable[..., Any]) -> None:
    ran = measured("baseline", command, "old")
    assert ran.status == 2
    assert "slmcheck baseline accept" in ran.err


def test_the_difference_is_shown_flipped_examples_first(measured: Callable[..., Any]) -> None:
    measured("baseline", "accept", "old")
    worsen()
    ran = measured("baseline", "diff", "old")
    assert ran.status == 0
    assert ran.out.startswith("12 examples got worse, 0 better (accuracy).")
    assert "REGRESSION" in ran.out


def test_a_baseline_of_other_rows_can_be_replaced(measured: Callable[..., Any]) -> None:
    measured("baseline", "accept", "old")
    for name in ("data/test.jsonl", "old.jsonl"):
        path = SUITE / name
        path.write_text(path.read_text().replace('"test', '"other'))
    measured("evaluate", "old", "--metric", "accuracy")
    assert measured("baseline", "accept", "old").status == 0


def test_nothing_of_it_imports_torch(measured: Callable[..., Any]) -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom slmcheck.cli import main\n"
        "assert main(['baseline', 'accept', 'old']) == main(['baseline', 'diff', 'old']) == 0\n"
        "print('torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "False"
