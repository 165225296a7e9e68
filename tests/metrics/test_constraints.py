"""Rules that answers must keep."""

from __future__ import annotations

import pytest

from slmcheck.errors import InputError
from slmcheck.gates import ScoreSource
from slmcheck.metrics import avoids, matches, measure, mentions, within
from slmcheck.records import Prediction


def share(metric, *texts: str) -> float:
    predictions = [Prediction(id=f"row-{place}", prediction=text, references=()) for place, text in enumerate(texts)]
    return float(measure(metric, predictions, ScoreSource(name="run", task="generation")))


def test_lengths_in_words_characters_and_lines() -> None:
    texts = ("", "one", "one two", " one two three ", "one\n\ntwo\n")
    assert share(within(words=(1, 2)), *texts) == 0.6
    assert share(within(characters=(None, 3)), *texts) == 0.4
    assert share(within(lines=(2, None)), *texts) == 0.2
    assert share(within(words=(2, None), characters=(None, 8)), *texts) == 0.4


def test_a_pattern_matches_the_whole_answer() -> None:
    assert share(matches(r"[A-Z]{2}-\d+"), "AB-12", " AB-12\n", "AB-12.", "ab-12") == 0.5


def test_words_that_must_and_must_not_occur() -> None:
    texts = ("We will REFUND you", "No refund, sorry", "Hello")
    assert share(mentions("refund"), *texts) == pytest.approx(2 / 3)
    assert share(mentions("refund", "sorry"), *texts) == pytest.approx(1 / 3)
    assert share(avoids("sorry", "refund"), *texts) == pytest.approx(1 / 3)


def test_the_rule_is_part_of_the_signature() -> None:
    assert within(words=(1, 2)).info.signature != within(words=(1, 3)).info.signature
    assert mentions("a|b").info.signature != mentions("a", "b").info.signature
    assert matches("a").info.signature != matches("b").info.signature


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: within(), "has no range"),
        (lambda: within(words=(3, 1)), "empty range"),
        (lambda: matches("("), "no regular expression"),
        (lambda: mentions(), "needs texts"),
        (lambda: avoids(" "), "needs texts"),
    ],
)
def test_a_rule_that_is_none_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
