"""The first group that explains the symptom is the cause; the rest follows from it."""

from __future__ import annotations

from slmcheck.diagnosis import flattened, ordered
from slmcheck.records import Finding


def finding(cause: str, severity="problem") -> Finding:
    return Finding(cause=cause, severity=severity, summary=f"{cause}.")


def shape(findings) -> list[tuple[str, list[str]]]:
    return [(one.cause, [other.cause for other in one.consequences]) for one in findings]


def test_what_an_earlier_group_explains_stands_under_it():
    found = ordered([finding("overfitting"), finding("weak-slices", "warning"), finding("leaked-rows")])
    assert shape(found) == [("leaked-rows", ["overfitting", "weak-slices"])]


def test_within_a_group_the_earlier_cause_explains_the_later():
    found = ordered([finding("majority-collapse"), finding("learning-rate-too-high")])
    assert shape(found) == [("learning-rate-too-high", ["majority-collapse"])]


def test_two_faults_of_rows_stand_side_by_side():
    found = ordered([finding("conflicting-labels"), finding("leaked-rows")])
    assert shape(found) == [("leaked-rows", []), ("conflicting-labels", [])]


def test_resources_and_notes_stand_by_themselves():
    found = ordered([finding("empty-fields", "note"), finding("low-utilisation", "warning"), finding("overfitting")])
    assert shape(found) == [("overfitting", []), ("low-utilisation", []), ("empty-fields", [])]


def test_a_warning_of_the_fit_explains_the_answers_where_nothing_is_a_problem():
    found = ordered([finding("weak-slices", "warning"), finding("no-better-than-trivial", "warning")])
    assert shape(found) == [("no-better-than-trivial", ["weak-slices"])]


def test_a_warning_about_rows_explains_nothing():
    found = ordered([finding("weak-slices", "warning"), finding("class-imbalance", "warning")])
    assert shape(found) == [("class-imbalance", []), ("weak-slices", [])]


def test_flattened_findings_keep_their_order():
    found = ordered([finding("overfitting"), finding("leaked-rows")])
    assert [one.cause for one in flattened(found)] == ["leaked-rows", "overfitting"]
    assert all(not one.consequences for one in flattened(found))
