from __future__ import annotations

from dataclasses import replace

import pytest

from slmcheck.records import OutcomeRecord, Report, VerdictRecord
from slmcheck.reports.decision import blocking, decide

TEST = "suites/tone/test_tone.py::test_it"


def verdict(**fields: object) -> VerdictRecord:
    given = {
        "claim": "lora.accuracy >= 0.9", "kind": "level", "state": "pass", "proven": True, "holds": True,
        "metric": "accuracy", "run": "tone/lora", "value": 0.92, "target": 0.9, "n": 200, "unit": "share", "test": TEST,
    } | fields  # fmt: skip
    return VerdictRecord(**given)  # type: ignore[arg-type]


def release(*verdicts: VerdictRecord, **fields: object) -> Report:
    return Report(policy="release", verdicts=verdicts, **fields)  # type: ignore[arg-type]


def test_a_regression_is_not_shipped_and_the_reason_has_no_statistics(report: Report) -> None:
    assert decide(report).line == (
        "Do not ship: accuracy of lora fell from 0.898 (release-1.4.accuracy) to 0.846,"
        " more than the 1 point allowed; 1 more gate is not met."
    )


def test_proven_primary_gates_are_shipped() -> None:
    decision = decide(release(verdict(primary=True)))
    assert (decision.choice, decision.line) == ("ship", "Ship: the primary gate of tone/lora is proven.")


def test_a_primary_gate_that_is_not_proven_cannot_tell() -> None:
    decision = decide(release(verdict(primary=True, proven=False, holds=False)))
    assert decision.line == (
        "Cannot tell: accuracy of tone/lora is 0.920, but 200 examples cannot prove the required 0.900."
    )


def test_an_inconclusive_primary_gate_cannot_tell() -> None:
    unclear = verdict(
        primary=True, kind="no_worse", state="inconclusive", proven=False, holds=False, target_name="baseline"
    )
    assert decide(release(unclear)).choice == "cannot_tell"
    assert "200 examples cannot tell whether tone/lora is good enough in accuracy" in decide(release(unclear)).reason


def test_a_failure_outweighs_what_is_unclear() -> None:
    unclear = verdict(primary=True, proven=False, holds=False)
    failing = verdict(state="fail", holds=False, value=0.8, test="other")
    assert decide(release(unclear, failing)).choice == "do_not_ship"


def test_without_a_primary_gate_nothing_is_proven() -> None:
    assert decide(release(verdict())).line == "Cannot tell: no primary gate was judged, so nothing is proven."


def test_a_first_baseline_does_not_prove_anything() -> None:
    accepted = verdict(primary=True, state="accepted", proven=False, target=None)
    assert "no baseline yet" in decide(release(accepted)).reason


def test_a_false_claim_in_a_test_that_passed_does_not_count() -> None:
    asked = verdict(state="fail", holds=False, test="asked")
    report = release(
        verdict(primary=True), asked, outcomes=(OutcomeRecord(test="asked", outcome="passed"),), tests={"passed": 2}
    )
    assert blocking(report) == ()
    assert decide(report).choice == "ship"


def test_a_test_that_failed_for_another_reason_is_not_shipped() -> None:
    outcome = OutcomeRecord(test="suites/a.py::test_shape", outcome="failed", message="AssertionError: 3 != 4\nmore")
    report = release(verdict(primary=True), outcomes=(outcome,))
    assert decide(report).line == "Do not ship: test_shape did not pass: AssertionError: 3 != 4."


def test_failed_tests_count_even_when_only_their_number_is_known() -> None:
    assert decide(release(verdict(primary=True), tests={"failed": 2})).choice == "do_not_ship"
    assert decide(release(verdict(primary=True), tests={"errors": 1})).choice == "cannot_tell"


def test_a_test_in_error_cannot_tell() -> None:
    outcome = OutcomeRecord(test="suites/a.py::test_it", outcome="error", message="training killed by signal 9")
    assert decide(release(verdict(primary=True), outcomes=(outcome,))).choice == "cannot_tell"


def test_skipped_tests_and_missing_baselines_are_said_when_shipping() -> None:
    report = release(verdict(primary=True), verdict(state="accepted", proven=False), tests={"passed": 2, "skipped": 3})
    assert decide(report).reason.endswith("(1 gate has no baseline yet; 3 tests were skipped).")


@pytest.mark.parametrize(
    ("verdicts", "headline", "state"),
    [
        ((verdict(),), "The gate is met", "pass"),
        ((verdict(), verdict(state="fail", holds=False)), "1 of 2 gates is not met", "fail"),
        ((verdict(state="inconclusive", proven=False),), "1 of 1 gate cannot be decided", "inconclusive"),
        ((), "No gate was judged", "inconclusive"),
    ],
)
def test_the_dev_policy_counts(verdicts: tuple[VerdictRecord, ...], headline: str, state: str) -> None:
    decision = decide(Report(verdicts=verdicts))
    assert (decision.headline, decision.state, decision.choice) == (headline, state, "counts")


def test_the_first_line_under_the_dev_policy_counts_gates_and_tests(report: Report) -> None:
    line = decide(replace(report, policy="dev", tests={"passed": 9, "inconclusive": 1, "failed": 2})).line
    assert line == ("12 gates: 8 pass, 2 fail, 1 inconclusive, 1 accepted; tests: 9 passed, 1 inconclusive, 2 failed.")


def test_findings_and_lower_is_better_have_their_own_sentences() -> None:
    found = verdict(kind="finding", state="fail", holds=False, value=2.0, target=None)
    assert "diagnosis found 2 problems in tone/lora" in decide(release(found)).reason
    slow = verdict(state="fail", holds=False, metric="perplexity", unit="ratio", value=13.0, target=12.0,
                   higher_is_better=False)  # fmt: skip
    assert "and at most 12.00 is required" in decide(release(slow)).reason
    rose = replace(slow, kind="no_worse", target_name="baseline", margin=0.24)
    assert "rose from 12.00 (baseline) to 13.00, more than the 0.24 allowed" in decide(release(rose)).reason
