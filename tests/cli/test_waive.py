"""`slmcheck waive`: what it writes, and everything it refuses."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUITE = Path("suites/tone")
TODAY = datetime.datetime.now(datetime.UTC).date()
DAY = (TODAY + datetime.timedelta(days=7)).isoformat()
TESTS = """\
def test_high(run):
    assert run.accuracy >= 0.85


def test_low(run):
    assert run.accuracy >= 0.1


def test_broken(run):
    assert run.bleu >= 1
"""


@pytest.fixture
def judged(slmcheck: Callable[..., Any], project: Path) -> Callable[..., Any]:
    """tone/new does not reach what test_high asks for."""
    (SUITE / "test_tone.py").write_text(TESTS)
    assert slmcheck("run", "suites", "-q").status == 1
    return slmcheck


def waive(slmcheck: Callable[..., Any], gate: str = "test_high", **changes: str) -> Any:
    given = {"reason": "the customer knows", "expires": DAY, "by": "Ann", **changes}
    return slmcheck("waive", gate, *(text for name, value in given.items() for text in (f"--{name}", value)))


def written() -> list[Path]:
    return sorted(SUITE.glob("waivers/*.json"))


def test_a_waiver_is_bound_to_the_run_and_to_the_claim(judged: Callable[..., Any]) -> None:
    ran = waive(judged)
    assert ran.status == 0
    assert "git add suites/tone/waivers/test_high-new-" in ran.out
    [path] = written()
    waiver = json.loads(path.read_text())
    assert (waiver["gate"], waiver["run"], waiver["claims"]) == (
        "test_tone.py::test_high[run=new]",
        "tone/new",
        ["new.accuracy >= 0.85"],
    )
    assert (waiver["reason"], waiver["expires"], waiver["by"]) == ("the customer knows", DAY, "Ann")
    assert len(waiver["run_key"]) == 64


def test_the_gate_is_waived_in_the_next_session(judged: Callable[..., Any]) -> None:
    waive(judged)
    ran = judged("run", "suites", "-q", "-k", "test_high")
    assert ran.status == 0
    assert "1 passed, 1 waived" in ran.out


def test_waivers_are_listed(judged: Callable[..., Any]) -> None:
    assert judged("waive", "--list").out == "No gate is waived.\n"
    waive(judged)
    assert "counts  test_tone.py::test_high[run=new]" in judged("waive", "--list").out
    [listed] = judged("waive", "--list", "--json").document["waivers"]
    assert (listed["expired"], listed["waiver"]["by"]) == (False, "Ann")


REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("test_hihg", {}, "There is no gate 'test_hihg' in the report"),
    ("", {}, "There is no gate ''"),
    ("test_low[run=new]", {}, "is met (pass): there is nothing to waive"),
    ("test_low", {}, "names 2 gates"),
    ("test_broken[run=new]", {}, "What could not be computed cannot be waived"),
    ("test_high", {"expires": "soon"}, "'soon' is no day"),
    ("test_high", {"expires": "2026-02-30"}, "'2026-02-30' is no day"),
    ("test_high", {"expires": "2020-01-01"}, "lies in the past"),
    ("test_high", {"expires": "2199-01-01"}, "a waiver lasts 366 days at most"),
    ("test_high", {"reason": " "}, "Say why the run may be shipped"),
    ("test_high", {"from": "nowhere"}, "There is no report at 'nowhere'"),
]


@pytest.mark.parametrize(("gate", "changes", "expected"), REFUSED)
def test_what_cannot_be_waived_is_one_message(
    gate: str, changes: dict[str, str], expected: str, judged: Callable[..., Any]
) -> None:
    ran = waive(judged, gate, **changes)
    assert ran.status == 2
    assert expected in ran.err
    assert ran.out == ""
    assert written() == []


@pytest.mark.parametrize("given", [(), ("test_high",), ("test_high", "--reason", "x"), ("--expires", DAY)])
def test_what_is_missing_is_named(given: tuple[str, ...], judged: Callable[..., Any]) -> None:
    ran = judged("waive", *given)
    assert (ran.status, "missing." in ran.err) == (2, True)


def test_a_clock_behind_the_report_is_said(judged: Callable[..., Any]) -> None:
    path = Path(".slmcheck/reports/latest/report.json")
    document = json.loads(path.read_text())
    document["created"] = "2999-01-01T00:00:00+00:00"
    path.write_text(json.dumps(document))
    ran = waive(judged)
    assert (ran.status, ran.err.startswith("The clock of this machine says")) == (2, True)


def test_a_report_of_another_project_is_said(judged: Callable[..., Any]) -> None:
    (SUITE / "test_tone.py").unlink()
    ran = waive(judged)
    assert (ran.status, "Call the command in the project" in ran.err) == (2, True)
