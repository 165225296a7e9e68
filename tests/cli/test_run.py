"""`slmcheck run` and `slmcheck report`: pytest in this process, the report in every format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slmcheck.cli.run import names_suites
from slmcheck.cli.sessions import run_pytest


def accept(slmcheck: Callable[..., Any]) -> None:
    """Make baselines of both runs."""
    for name in ("old", "new"):
        slmcheck("evaluate", name, "--metric", "accuracy")
        slmcheck("baseline", "accept", name)


@pytest.fixture
def accepted(slmcheck: Callable[..., Any], project: Path) -> Callable[..., Any]:
    """The project with baselines of both runs."""
    accept(slmcheck)
    return slmcheck


def latest(project: Path) -> Path:
    """The newest report folder."""
    return (project / ".slmcheck/reports/latest").resolve()


def test_suites_are_run_by_default_and_every_format_is_written(accepted: Callable[..., Any], project: Path) -> None:
    ran = accepted("run", "-q")
    assert ran.status == 0
    assert "4 passed" in ran.out
    names = {path.name for path in latest(project).iterdir()}
    assert {"report.json", "report.html", "report.md"} <= names
    assert f"html: {latest(project).relative_to(project)}/report.html" in ran.out


def test_the_status_is_that_of_pytest(slmcheck: Callable[..., Any], project: Path) -> None:
    assert slmcheck("run", "suites", "-q", "-k", "did_not_drop").status == 1
    assert slmcheck("run", "suites", "-q", "-k", "nothing_has_this_name").status == 5
    assert slmcheck("run", "nowhere").status == 4


def test_arguments_of_pytest_are_handed_on(accepted: Callable[..., Any], project: Path) -> None:
    ran = accepted("run", "-q", "-k", "old and accuracy", "suites/tone")
    assert "2 passed, 2 deselected" in ran.out


def test_json_is_one_object_and_nothing_else(accepted: Callable[..., Any], project: Path) -> None:
    ran = accepted("run", "-q", "--json")
    assert ran.document["exit_status"] == 0
    assert len(ran.document["report"]["verdicts"]) == 4
    assert "4 passed" in ran.err


def test_a_folder_of_ones_own_gets_every_format_from_the_plugin(accepted: Callable[..., Any], project: Path) -> None:
    accepted("run", "-q", "--slm-report", "mine")
    assert (project / "mine/report.html").is_file()
    assert not (latest(project) / "report.html").exists()


def test_warnings_as_errors_do_not_break_it(accepted: Callable[..., Any], project: Path) -> None:
    assert accepted("run", "-q", "-W", "error").status == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], False),
        (["-q"], False),
        (["-k", "accuracy"], False),
        (["--slm-report", "mine"], False),
        (["--slm-report=mine"], False),
        (["-x", "suites"], True),
        (["suites/tone/test_tone.py::test_accuracy"], True),
        (["-k", "accuracy", "suites"], True),
    ],
)
def test_a_value_of_an_option_is_no_suite(arguments: list[str], named: bool) -> None:
    assert names_suites(arguments) is named


@pytest.fixture
def reported(accepted: Callable[..., Any], project: Path) -> Callable[..., Any]:
    """The project after a session with one failed test: report.json only."""
    predictions = project / "suites/tone/new.jsonl"
    predictions.write_text(predictions.read_text().replace('"prediction": "angry"', '"prediction": "sad"'))
    run_pytest(["-q", "suites"], quiet_stdout=True)
    return accepted


def test_the_newest_report_is_shown_in_the_terminal(reported: Callable[..., Any]) -> None:
    ran = reported("report")
    assert ran.status == 0
    assert "tone/new" in ran.out
    assert "\x1b[" not in ran.out


@pytest.mark.parametrize(("form", "start"), [("markdown", "#"), ("json", "{")])
def test_text_formats_are_printed(form: str, start: str, reported: Callable[..., Any]) -> None:
    assert reported("report", "latest", "--format", form).out.lstrip().startswith(start)


def test_a_page_goes_beside_its_report(reported: Callable[..., Any], project: Path) -> None:
    ran = reported("report", "--format", "html")
    assert ran.out.strip() == str((latest(project) / "report.html").relative_to(project))
    assert (latest(project) / "report.html").is_file()


def test_cards_are_one_a_run_and_go_to_a_folder(reported: Callable[..., Any], project: Path) -> None:
    document = reported("report", "latest", "--format", "card", "--output", "cards", "--json").document
    assert len(document["files"]) == 2
    assert all(Path(path).parent == Path("cards") for path in document["files"])


def test_one_file_is_written_where_it_is_asked_for(reported: Callable[..., Any], project: Path) -> None:
    reported("report", "--format", "json", "--output", "copy.json")
    assert json.loads((project / "copy.json").read_text())["version"] == 1


def test_several_cards_are_not_one_file(reported: Callable[..., Any]) -> None:
    ran = reported("report", "--format", "card", "--output", "card.md")
    assert (ran.status, ran.err.splitlines()[1]) == (2, "Name a folder instead.")


def test_a_missing_report_names_the_command_that_makes_one(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("report")
    assert ran.status == 2
    assert "Make one: slmcheck run SUITES" in ran.err


def test_a_damaged_report_is_said(reported: Callable[..., Any], project: Path) -> None:
    Path("mine").mkdir()
    Path("mine/report.json").write_text("{")
    assert reported("report", "mine").err.startswith("'mine/report.json' cannot be read as a report")
