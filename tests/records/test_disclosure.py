from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.records import ExampleEvidence, Finding
from slmcheck.records.disclosure import (
    Disclosure,
    hashed,
    shown,
    shown_findings,
    shown_text,
    stricter,
    unquoted,
)

REDACTED = Disclosure(level="redacted", labels=("glad", "sad"))
NONE = Disclosure(level="none")


def example(**texts: str) -> ExampleEvidence:
    return ExampleEvidence(**{"id": "e1", "prompt": "Dear Ann", "reference": "yes", "answer": "no", **texts})


def test_full_shows_everything() -> None:
    assert shown([example()], Disclosure()) == (example(),)


def test_none_shows_no_example() -> None:
    assert shown([example()], NONE) == ()
    assert shown_text("Dear Ann", NONE) == ""


def test_redacted_says_how_long_the_texts_are() -> None:
    (found,) = shown([example(prompt="Dear Ann" * 200)], REDACTED)
    assert found.prompt == "[redacted: 1,600 characters]"
    assert shown_text("x", REDACTED) == "[redacted: 1 character]"


def test_equal_texts_of_one_example_stay_equal_and_those_of_two_do_not() -> None:
    first, second = shown([example(answer="yes"), example(id="e2", answer="yes")], REDACTED)
    assert first.answer == first.reference
    assert first.answer != second.answer


def test_several_references_stay_several() -> None:
    (found,) = shown([example(reference="yes | sure", answer="sure", old_answer="yes")], REDACTED)
    assert found.answer == found.reference.split(" | ")[1]
    assert found.old_answer == found.reference.split(" | ")[0]


def test_names_of_classes_stay() -> None:
    (found,) = shown([example(reference="glad", answer="furious")], REDACTED)
    assert found.reference == "glad"
    assert found.answer.startswith("[redacted: 7 characters, #")


@given(st.text(min_size=3), st.text(min_size=3))
def test_no_text_survives(prompt: str, answer: str) -> None:
    (found,) = shown([example(prompt=f"<<{prompt}>>", answer=f"<<{answer}>>", old_answer=f"<<{answer}")], REDACTED)
    assert "<<" not in repr(found)


def test_what_findings_quote_is_left_out_but_for_labels() -> None:
    finding = Finding(
        cause="leak", severity="problem", summary="'Dear Ann' is in both splits", evidence=('class "glad" has 3 rows',),
        examples=("e1",),
    )  # fmt: skip
    (found,) = shown_findings([finding], REDACTED)
    assert found.summary == "[redacted] is in both splits"
    assert found.evidence == ('class "glad" has 3 rows',)
    assert shown_findings([finding], NONE)[0].examples == ()
    assert shown_findings([finding], Disclosure()) == (finding,)


@pytest.mark.parametrize("text", ["'a' and “b”", "`a`", 'say "a"', "‘a’"])
def test_every_kind_of_quotation_is_seen(text: str) -> None:
    assert "a" not in unquoted(text, REDACTED).replace("[redacted]", "").replace("and", "").replace("say", "")


def test_the_stricter_level_wins() -> None:
    assert stricter("full", "redacted") == stricter("redacted", "full") == "redacted"
    assert stricter("none", "redacted") == "none"


def test_a_hash_is_sixteen_digits_also_of_a_lone_surrogate() -> None:
    assert len(hashed("\ud800")) == 16
    assert hashed("a") != hashed("b")
