from __future__ import annotations

import dataclasses

from slmcheck.records import Exemption, OutcomeRecord, Report, VerdictRecord
from slmcheck.reports.annotations import render

TEST = "suites/tone/test_tone.py::test_it[run=lora]"


def report(*outcomes: OutcomeRecord, claim: str = "lora.accuracy >= 0.85", line: str = "FAIL  50 %, n=60") -> Report:
    verdict = VerdictRecord(
        claim=claim, kind="level", state="fail", proven=True, holds=False, metric="accuracy", run="tone/lora",
        value=0.7, test=TEST, lines=(line,),
    )  # fmt: skip
    return Report(verdicts=(verdict,), outcomes=outcomes)


def failed(test: str = TEST, line: int | None = 12) -> OutcomeRecord:
    return OutcomeRecord(test=test, outcome="failed", message="assert x", file="suites/tone/test_tone.py", line=line)


def test_a_failed_gate_is_an_error_on_the_line_of_its_assert() -> None:
    assert render(report(failed())) == (
        "::error file=suites/tone/test_tone.py,line=12,title=slmcheck%3A test_it[run=lora]::"
        "lora.accuracy >= 0.85%0A  FAIL  50 %25, n=60\n"
    )


def test_paths_begin_at_the_top_of_the_repository() -> None:
    assert "file=models/suites/tone/test_tone.py," in render(report(failed()), "models/")


def test_a_test_that_failed_otherwise_says_its_own_message() -> None:
    assert render(Report(outcomes=(failed(),))).endswith("::assert x\n")


def test_what_is_waived_is_a_warning() -> None:
    end = dataclasses.replace(failed(), outcome="waived")
    shown = render(report(end))
    assert shown.startswith("::warning file=")
    assert "(WAIVED)" in shown


def test_what_passed_is_not_mentioned() -> None:
    assert render(Report(outcomes=(OutcomeRecord(test=TEST, outcome="passed"),))) == ""


def test_nothing_of_a_model_begins_a_command_of_its_own() -> None:
    shown = render(report(failed(), claim="a::b,c\r\n::error::x", line="::add-mask::secret\n::stop-commands::y"))
    assert shown.count("\n") == 1
    assert shown.startswith("::error file=")


def test_more_than_ten_are_counted() -> None:
    many = tuple(failed(f"suites/tone/test_tone.py::test_{index}") for index in range(25))
    lines = render(Report(outcomes=many)).splitlines()
    assert len(lines) == 10
    assert lines[-1].endswith("16 more tests in the report of this job")


def test_an_exemption_covers_its_run_and_its_claims_only() -> None:
    exemption = Exemption(kind="waived", until="2026-12-01", run_key="ab", claims=("x >= 1",))
    assert exemption.covers("x >= 1", "ab")
    assert not exemption.covers("x >= 2", "ab")
    assert not exemption.covers("x >= 1", "cd")
