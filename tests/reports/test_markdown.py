from __future__ import annotations

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from slmcheck.records import ExampleEvidence, Report
from slmcheck.reports.markdown import LIMIT, cell, code, escape, fenced, render, table

OWN_MARKUP = re.compile(r"<summary>[^<]*</summary>|</?details>|<br>|</?sub>")


def tokens(text: str) -> list[Token]:
    """All tokens of the text, those inside lines included."""
    found: list[Token] = []
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        found += [token, *(token.children or [])]
    return found


def markup(text: str) -> str:
    """Raw HTML of the text that is not the report's own."""
    raw = "".join(token.content for token in tokens(text) if token.type.startswith("html"))
    return OWN_MARKUP.sub("", raw).strip()


def many_examples(report: Report, count: int, length: int) -> Report:
    examples = tuple(
        ExampleEvidence(id=str(index), prompt="p" * length, reference="r", answer="a") for index in range(count)
    )
    return replace(report, runs=tuple(replace(run, examples=examples) for run in report.runs))


def test_the_first_line_is_the_decision(report: Report) -> None:
    assert render(report).startswith("### ✗ Do not ship: accuracy of phrase\\_tone/lora fell from 0.898 (release-1.4)")


def test_each_suite_has_a_collapsed_section(report: Report) -> None:
    text = render(report)
    assert text.count("<details>\n<summary>") == text.count("</details>") == 2
    assert "<summary>phrase_tone: 4 of 7 gates pass</summary>" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_head(hostile_report: Report) -> None:
    cells: list[int] = []
    for token in tokens(render(hostile_report)):
        if token.type == "tr_open":
            cells.append(0)
        elif token.type in ("th_open", "td_open"):
            cells[-1] += 1
        elif token.type == "table_close":
            assert len(set(cells)) == 1
            cells.clear()


def test_hostile_text_becomes_no_markup(hostile_report: Report) -> None:
    text = render(hostile_report)
    assert markup(text) == ""
    assert not [token for token in tokens(text) if token.type in ("link_open", "image")]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", text)


def test_hostile_text_makes_no_headings(report: Report, hostile_report: Report) -> None:
    def count(given: Report) -> int:
        return sum(token.type == "heading_open" for token in tokens(render(given)))

    assert count(hostile_report) == count(report)


def test_nobody_is_mentioned(report: Report) -> None:
    step = replace(report, next_steps=("ask @everyone",), holm="tell @octocat now")
    mentions = [
        token.content for token in tokens(render(step)) if token.type == "text" and re.search(r"@\w", token.content)
    ]
    assert mentions == []


@pytest.mark.parametrize("text", ["`", "``", "a`b``c", "`edge`", "```\n# h", "|", "\\|", "<b>", "plain"])
def test_code_shows_any_text(text: str) -> None:
    inline = [token for token in tokens(code(text)) if token.type == "code_inline"]
    assert [token.content for token in inline] == [" ".join(text.split())]


@pytest.mark.parametrize("text", ["`|`", "\\|<img src=x>", "a\\", "|", "[x](y)|", "`` ` `` |"])
def test_a_cell_shows_any_text(text: str) -> None:
    shown = tokens(table(("head", "other"), [(cell(text), "second")]))
    rows = [token.content for token in shown if token.type in ("text", "code_inline", "text_special")]
    assert "".join(rows) == f"headother{text}second"
    assert markup(cell(text)) == ""


@pytest.mark.parametrize("text", ["*a*", "_a_ [b](c) <i>", "# h", "~~x~~", "&amp;", "a | b", "\\", "$x$"])
def test_escaped_text_is_literal(text: str) -> None:
    shown = tokens(f"x {escape(text)}")
    assert "".join(token.content for token in shown if token.type in ("text", "text_special")) == f"x {text}"


def test_a_fence_is_longer_than_any_inside() -> None:
    (fence,) = [token for token in tokens(fenced("a\n`````\nb")) if token.type == "fence"]
    assert fence.content == "a\n`````\nb\n"


def test_examples_are_the_first_to_go_and_it_is_said(report: Report) -> None:
    text = render(many_examples(report, count=10, length=2000), limit=30_000)
    assert len(text) <= 30_000
    assert "Only three shortened examples a run are shown" in text
    assert "REGRESSION: the drop is real" in text


def test_gates_that_pass_go_before_gates_that_fail(report: Report) -> None:
    text = render(many_examples(report, count=10, length=2000), limit=2_000)
    assert "Only gates that do not pass are shown" in text
    assert "✗ weak fail" in text
    assert "✓ pass" not in text


@pytest.mark.parametrize("limit", [500, 1_500, 5_000, 9_000, 20_000, LIMIT])
def test_the_limit_holds_and_nothing_is_left_open(hostile_report: Report, limit: int) -> None:
    text = render(many_examples(hostile_report, count=200, length=5000), limit=limit)
    assert len(text) <= limit
    assert text.count("<details>") == text.count("</details>")
    assert markup(text) == ""


def test_thousands_of_gates_fit_into_a_comment(report: Report) -> None:
    text = render(replace(report, verdicts=report.verdicts * 500))
    assert len(text) <= LIMIT
    assert "see report.json" in text


def test_an_empty_report_says_that_nothing_was_judged() -> None:
    assert render(Report()).startswith("### ~ No gate was judged.\n")
