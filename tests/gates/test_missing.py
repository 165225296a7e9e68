"""Comparisons with a baseline that nobody accepted yet."""

from __future__ import annotations

from typing import Any

import pytest

from slmcheck.errors import MissingBaselineError
from slmcheck.gates import MissingScore, Policy, judging

MESSAGE = "There is no baseline.\nslmcheck baseline accept lora"
ACCEPT = Policy(accept_missing=True, gate="release", primary=True)


@pytest.fixture
def missing() -> MissingScore:
    return MissingScore("baseline.accuracy", MESSAGE)


FORMS = [
    lambda run, base: run >= base,
    lambda run, base: run >= base - 0.01,
    lambda run, base: run > base * 0.98,
    lambda run, base: base - 0.01 <= run,
    lambda run, base: 0.98 * base <= run,
    lambda run, base: run - base >= -0.01,
    lambda run, base: base - run <= 0.01,
    lambda run, base: run - base + 0.01 >= 0,
    lambda run, base: abs(run - base) <= 0.01,
    lambda run, base: run.no_worse_than(base),
    lambda run, base: run.better_than(base),
    lambda run, base: run.equivalent_to(base),
]


@pytest.mark.parametrize("compare", FORMS)
def test_a_comparison_fails_and_names_the_command(make: Any, missing: MissingScore, compare: Any) -> None:
    with pytest.raises(MissingBaselineError, match="slmcheck baseline accept lora"):
        compare(make.rate(make.right(8, 10)), missing)


@pytest.mark.parametrize("compare", FORMS)
def test_with_accept_baseline_it_counts_as_accepted(make: Any, missing: MissingScore, compare: Any) -> None:
    with judging(ACCEPT) as verdicts:
        assert compare(make.rate(make.right(8, 10)), missing)
    assert len(verdicts) == 1
    record = verdicts[0].record
    assert (record.state, record.holds, record.proven, record.run) == ("accepted", True, False, "lora")
    assert record.lines[0].startswith("ACCEPTED  lora.accuracy 0.8: there was no baseline")


def test_its_claim_is_written_as_in_the_suite(make: Any, missing: MissingScore) -> None:
    run = make.rate(make.right(8, 10))
    with judging(ACCEPT) as verdicts:
        assert run >= missing - 0.01
        assert run - missing >= -0.01
        assert run.no_worse_than(missing * 0.5)
    assert [verdict.record.claim for verdict in verdicts] == [
        "lora.accuracy >= baseline.accuracy - 0.01",
        "lora.accuracy - baseline.accuracy >= -0.01",
        "lora.accuracy.no_worse_than(baseline.accuracy * 0.5, margin=0.01)",
    ]


def test_it_has_no_value(missing: MissingScore) -> None:
    with pytest.raises(MissingBaselineError):
        float(missing)
    with judging(ACCEPT), pytest.raises(MissingBaselineError):
        missing >= 0.5  # noqa: B015
    assert repr(-(missing / 2 + 1)) == "<-(baseline.accuracy / 2 + 1): not accepted yet>"
