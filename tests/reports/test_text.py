from __future__ import annotations

import pytest

from slmcheck.reports.text import block, counted, listed, one_line, sentence, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("\x00\x85", "\\x00\\x85"),
        ("\U000e0041", "\\U000e0041"),
        ("tab\tline\nend\r\n", "tab\tline\nend\n"),
        ("Zoë 日本 👍🏽", "Zoë 日本 👍🏽"),
    ],
)
def test_characters_that_act_are_written_as_escapes(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_visible_text_can_always_be_encoded() -> None:
    text = visible("".join(map(chr, range(0x10000))))
    assert text.encode()
    assert visible(text) == text


def test_one_line_collapses_white_space_and_cuts() -> None:
    assert one_line(" a\n\n  b\tc ") == "a b c"
    assert one_line("abcdef", 4) == "abc…"


def test_a_long_block_says_how_much_is_missing() -> None:
    assert block("x" * 1005, 5) == "xxxxx… (1,000 more characters)"
    assert block("two\nlines\n", 50) == "two\nlines"


def test_words_around_counts_and_lists() -> None:
    assert counted(1, "gate") == "1 gate"
    assert counted(1200, "gate") == "1,200 gates"
    assert listed([]) == ""
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert sentence("it holds") == "it holds."
    assert sentence("does it?") == "does it?"
