from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from slmcheck.records import Report
from slmcheck.reports.terminal import export_svg, render, sparkline

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def test_the_first_line_is_the_decision(report: Report) -> None:
    assert render(report, 300, False).split("\n")[0] == (
        "✗ Do not ship: accuracy of phrase_tone/lora fell from 0.898 (release-1.4) to 0.846,"
        " more than the 1 point allowed; 1 more gate is not met."
    )


def test_the_first_line_under_the_dev_policy_counts(report: Report) -> None:
    assert render(replace(report, policy="dev"), 200, False).startswith("✗ 12 gates: 8 pass, 2 fail")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(report: Report, width: int) -> None:
    assert max(len(line) for line in render(report, width, False).split("\n")) <= width


def test_without_colour_there_is_no_escape(report: Report) -> None:
    assert "\x1b" not in render(report, 80, False)


def test_colour_changes_no_character(report: Report) -> None:
    coloured = render(report, 80, True)
    assert "\x1b[" in coloured
    assert [line.rstrip() for line in ESCAPE.sub("", coloured).split("\n")] == render(report, 80, False).split("\n")


def test_hostile_text_gives_no_escape_and_no_markup(hostile_report: Report) -> None:
    text = render(hostile_report, 100, False)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", text)
    assert "\\x1b[31mred" in text.replace("\n", "")


def test_square_brackets_of_an_answer_are_no_markup(report: Report) -> None:
    example = replace(report.verdicts[1].examples[0], answer="[bold]not bold[/bold] :smile:")
    verdict = replace(report.verdicts[1], examples=(example,))
    assert "[bold]not bold[/bold] :smile:" in render(replace(report, verdicts=(verdict,)), 80, False)


@pytest.mark.parametrize(
    "part",
    [
        "✗ fail          accuracy *",
        "−7.8 .. −2.6  ≥ 0.898 release-1.4",
        "REGRESSION: the drop is real",
        "best 0.531 at step 220",
        "gap +8.8 points (+5.1 .. +12.4); base model +0.4, beyond it +8.4",
        "agreement (fp32) 0.998 (0.988 .. 1.000)",
        "majority  TF-IDF",
        "overfitting: The validation loss was lowest",
        "1 survives Holm.",
        "smallest drop visible 3.6 points of accuracy",
        "→ Try the remedy: slmcheck diagnose phrase_tone/lora --try",
        "2 min 41 s",
        "trained on cuda, torch 2.13.0; this machine: cpu",
    ],
)
def test_the_story_is_complete(report: Report, part: str) -> None:
    assert part in render(report, 160, False)


def test_three_examples_are_shown_in_full(report: Report) -> None:
    text = render(report, 120, False)
    assert text.count("  prompt ") == 3
    assert "fourth letter of apology; might I have a boiler instead?" in text


def test_an_empty_report_says_that_nothing_was_judged() -> None:
    assert render(Report(), 80, False) == "~ No gate was judged.\n"


def test_a_sparkline_shows_the_shape() -> None:
    assert sparkline([3, 2, 1]) == "█▅▁"
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([]) == ""
    assert len(sparkline(list(range(1000)), columns=20)) == 20


def test_the_picture_is_one_well_formed_svg_that_loads_nothing(hostile_report: Report) -> None:
    picture = export_svg(hostile_report)
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "url(http" not in picture
    assert "<script" not in picture


def test_the_picture_is_the_same_each_time(report: Report) -> None:
    assert export_svg(report) == export_svg(report)
