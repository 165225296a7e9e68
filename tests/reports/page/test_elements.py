from __future__ import annotations

import pytest

from slmcheck.reports.page.elements import Html, data_table, disclosure, element, joined, lines, scrolling, trusted


@pytest.mark.parametrize("text", ["<script>", "a & b", '"quoted"', "it's", "</p>"])
def test_text_is_escaped_and_markup_is_not(text: str) -> None:
    assert text not in element("p", text).removeprefix("<p>").removesuffix("</p>") or text == "it's"
    assert element("p", trusted("<b>x</b>")) == "<p><b>x</b></p>"


def test_attributes_are_escaped() -> None:
    assert element("p", title='"><script>', hidden=True, id=False, data_x=3) == (
        '<p title="&quot;&gt;&lt;script&gt;" hidden data-x="3"></p>'
    )


def test_words_of_python_are_written_without_their_underscore() -> None:
    assert element("meta", http_equiv="x", class_="y") == '<meta http-equiv="x" class="y">'


def test_characters_that_act_are_made_visible() -> None:
    assert element("p", "\x1b[31m\u2028") == "<p>\\x1b[31m\\u2028</p>"


def test_joining_finished_markup_with_text_escapes_the_text_only() -> None:
    assert joined([Html("<b>"), "<i>"], " ") == "<b> &lt;i&gt;"
    assert lines("a<\nb") == "a&lt;<br>b"


def test_a_table_has_a_caption_and_heads_in_both_directions() -> None:
    table = data_table("Scores", ("score", "value"), [("accuracy", "0.9")])
    assert "<caption>Scores</caption>" in table
    assert '<th scope="col" class="number">value</th>' in table
    assert '<th scope="row" class="word">accuracy</th><td class="number">0.9</td>' in table
    assert table.startswith('<div class="scroll" role="group" aria-label="Scores" tabindex="0">')


def test_small_parts() -> None:
    assert disclosure("more", element("p", "x")) == "<details><summary>more</summary><p>x</p></details>"
    assert scrolling("name", Html("x")).endswith(">x</div>")


def test_a_row_with_another_number_of_cells_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        data_table("t", ("a", "b"), [("only",)])
