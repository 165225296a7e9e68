"""The verdict as an object, and the form of it that pytest does not cut."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slmcheck.gates import Verdict, inline_form
from slmcheck.records import VerdictRecord, from_json, to_json

texts = st.text(min_size=1, max_size=400)


def record(claim: str, lines: tuple[str, ...]) -> VerdictRecord:
    return VerdictRecord(
        claim=claim, kind="level", state="fail", proven=True, holds=False, metric="m", run="r", value=0.0, lines=lines
    )


def test_a_verdict_is_true_or_false_and_one_line(make: Any) -> None:
    verdict = make.rate(make.right(423, 500)) >= 0.8
    assert bool(verdict)
    assert (verdict.state, verdict.proven) == ("pass", True)
    assert repr(verdict) == (
        "<lora.accuracy >= 0.8: PASS  lora.accuracy 0.846 >= 0.800, proven: 95 % CI 0.812 .. 0.875, n=500>"
    )
    assert str(verdict).splitlines() == ["lora.accuracy >= 0.8", *verdict.lines]


def test_a_verdict_travels_as_json(make: Any) -> None:
    old = make.rate(make.right(449, 500), "old", is_baseline=True)
    found = (make.rate(make.flipped(make.right(449, 500), lost=42, won=16)) >= old - 0.01).record
    assert from_json(VerdictRecord, to_json(found)) == found


def test_the_verdict_of_a_test_says_which(make: Any) -> None:
    verdict = (make.rate(make.right(423, 500)) >= 0.8).of_test("test_a.py::test_b", primary=True)
    assert (verdict.record.test, verdict.record.primary) == ("test_a.py::test_b", True)


@given(texts, st.lists(texts, max_size=12), st.booleans())
def test_the_inline_form_fits_into_pytests_message(claim: str, lines: list[str], has_next: bool) -> None:
    shown = inline_form(
        record(claim, (*lines, *(["next: slmcheck report latest --format html"] if has_next and lines else [])))
    )
    assert len(shown) <= 7
    assert len("\n".join(shown)) < 640


def test_the_claim_the_first_lines_and_the_command_stay() -> None:
    notes = tuple(f"note {number} " + "x" * 80 for number in range(10))
    shown = inline_form(record("claim", ("FAIL  first", *notes, "next: slmcheck report latest --format html")))
    assert shown[:2] == ("claim", "FAIL  first")
    assert shown[-1] == "next: slmcheck report latest --format html"
    assert len(shown) == 7


def test_a_failed_comparison_with_long_names_fits(make: Any) -> None:
    name = "a-recipe-whose-name-is-much-longer-than-anybody-should-write-it"
    old = make.rate(make.right(449, 500), f"{name}-old", is_baseline=True, slice="complaints about delivery")
    new = make.rate(
        make.flipped(make.right(449, 500), lost=42, won=16),
        name,
        slice="complaints about delivery",
        notes=("trained on cuda, torch 2.13; this machine: cpu, torch 2.14",),
        selected_on_validation=True,
    )
    shown = (new >= old - 0.01).inline
    assert len("\n".join(shown)) < 640
    assert any(line.startswith("REGRESSION") for line in shown)
    assert shown[-1].startswith("next:")


def test_an_overlong_line_is_cut() -> None:
    (shown,) = inline_form(record("claim " * 200, ("x" * 1000,)))
    assert (len(shown), shown[-1]) == (639, "…")


def test_a_verdict_without_lines_is_its_claim() -> None:
    assert inline_form(record("claim", ())) == ("claim",)
    assert repr(Verdict(record("claim", ()))) == "<claim: fail>"
