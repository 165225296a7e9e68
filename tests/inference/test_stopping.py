"""Stop strings end a text wherever they come from."""

from __future__ import annotations

from collections.abc import Sequence

from slmcheck.inference.stopping import StopStrings

PIECES = ["a", "b", "\n", "\n\n", " ", "", "END", "E", "ND", "�"]


def decode(tokens: Sequence[int]) -> str:
    return "".join(PIECES[token] for token in tokens)


def test_a_stop_string_within_one_token():
    assert StopStrings(("\n",), decode).reached([0, 3])


def test_a_stop_string_across_tokens():
    stops = StopStrings(("END",), decode)
    assert not stops.reached([0, 7])
    assert stops.reached([0, 7, 8])


def test_no_stop_strings_never_stop():
    assert not StopStrings((), decode).reached([2])


def test_text_is_cut_before_the_first_of_several():
    stops = StopStrings(("END", "\n"), decode)
    assert stops.cut("one\ntwo END") == "one"
    assert stops.cut("one") == "one"


def test_only_tokens_that_may_bring_a_stop_string_are_looked_at():
    seen: list[tuple[int, ...]] = []

    def counting(tokens: Sequence[int]) -> str:
        seen.append(tuple(tokens))
        return decode(tokens)

    stops = StopStrings(("\n",), counting)
    for _ in range(3):
        stops.reached([0, 0, 1])
    assert seen == [(1,)]


def test_parts_of_a_character_and_lone_spaces_are_looked_at():
    stops = StopStrings(("é",), decode)
    assert stops._may_bring_one(9)
    assert stops._may_bring_one(4)
    assert stops._may_bring_one(5)
    assert not stops._may_bring_one(0)
