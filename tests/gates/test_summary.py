"""What a session says of its verdicts together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slmcheck.gates import summarise
from slmcheck.records import VerdictRecord

CHECK = VerdictRecord(
    claim="a >= b", kind="no_worse", state="pass", proven=True, holds=True, metric="f1", run="a", value=0.5, p_value=0.5
)


def test_the_sentence_of_a_session() -> None:
    failed = [replace(CHECK, state="fail", p_value=p) for p in (0.0001, 0.03, 0.04)]
    summary = summarise([*failed, *[CHECK] * 37])
    assert summary.sentence == ("3 of 40 regression checks failed; 2 expected by chance at 5 %; 1 survives Holm")
    assert (summary.regression_checks, summary.failed, summary.surviving) == (40, 3, 1)
    assert summary.expected == pytest.approx(2.0)


def test_states_are_counted_and_unproven_verdicts_named() -> None:
    level = replace(CHECK, kind="level", p_value=None, proven=False)
    summary = summarise([CHECK, level, replace(CHECK, state="inconclusive", proven=False)])
    assert summary.states == {"pass": 2, "fail": 0, "inconclusive": 1, "accepted": 0}
    assert summary.unproven == 1


def test_without_regression_checks_there_is_no_sentence() -> None:
    assert summarise([]).sentence == ""
    assert summarise([replace(CHECK, kind="level", p_value=None)]).sentence == ""


def test_one_check_is_one_check() -> None:
    assert summarise([replace(CHECK, state="fail", p_value=0.01)]).sentence == (
        "1 of 1 regression check failed; 0.05 expected by chance at 5 %; 1 survives Holm"
    )


@pytest.mark.parametrize(("checks", "alpha", "advised"), [(10, 0.05, False), (11, 0.05, True), (11, 0.01, False)])
def test_many_checks_are_advised_to_be_strict(checks: int, alpha: float, advised: bool) -> None:
    assert ("slm_alpha = 0.01" in summarise([CHECK] * checks, alpha=alpha).advice) is advised
