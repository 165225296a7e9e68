from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from slmcheck.records import Report
from slmcheck.reports.html import render

VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """Elements of a page in order, with their attributes, parents and text; fails on an element that is left open."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.parents: list[tuple[str, ...]] = []
        self.texts: dict[int, str] = {}
        self._open: list[tuple[str, int]] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.parents.append(tuple(name for name, _ in self._open))
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self._open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.parents.append(tuple(name for name, _ in self._open))
        self.elements.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, index in self._open:
            self.texts[index] = self.texts.get(index, "") + data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text_of(self, tag: str) -> list[str]:
        return [self.texts.get(index, "") for index, (name, _) in enumerate(self.elements) if name == tag]


@pytest.fixture(scope="module")
def texts(module_report: Report, module_hostile_report: Report) -> tuple[str, str]:
    return render(module_report), render(module_hostile_report)


@pytest.fixture(scope="module")
def page(texts: tuple[str, str]) -> Page:
    return Page(texts[0])


@pytest.fixture(scope="module")
def hostile(texts: tuple[str, str]) -> Page:
    return Page(texts[1])


def test_the_first_heading_is_the_decision(page: Page) -> None:
    assert page.text_of("h1") == ["✗Do not ship"]
    assert page.text_of("title") == ["✗ Do not ship – phrase_tone/lora, faq_answers/lora"]


def test_the_page_is_small(texts: tuple[str, str]) -> None:
    assert len(texts[0].encode()) < 2_000_000


def test_the_page_loads_nothing(page: Page) -> None:
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "action", "xlink:href"} & set(attributes), tag
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"url\(|@import", page.text_of("style")[0])


def test_only_its_own_scripts_may_run(page: Page) -> None:
    (policy,) = [found["content"] for found in page.all("meta") if found.get("http-equiv") == "Content-Security-Policy"]
    scripts = [
        text
        for text, attributes in zip(page.text_of("script"), page.all("script"), strict=True)
        if attributes.get("type") != "application/json"
    ]
    hashes = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert "unsafe-eval" not in policy


def test_hostile_text_adds_no_element_and_no_handler(page: Page, hostile: Page) -> None:
    assert {tag for tag, _ in hostile.elements} == {tag for tag, _ in page.elements}
    assert len(hostile.all("script")) == len(page.all("script")) == 3
    assert not [name for _, attributes in hostile.elements for name in attributes if name.startswith("on")]
    assert len(hostile.all("title")) == 1


def test_hostile_text_leaves_the_scripts_alone(page: Page, hostile: Page) -> None:
    assert hostile.text_of("script")[1:] == page.text_of("script")[1:]
    assert json.loads(hostile.text_of("script")[0]).keys() <= json.loads(page.text_of("script")[0]).keys()


def test_characters_that_act_are_nowhere_in_the_page(texts: tuple[str, str]) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", texts[1])
    assert "\\x1b[31mred\\u2028" in texts[1]


def test_the_same_report_gives_the_same_page(texts: tuple[str, str], module_report: Report) -> None:
    assert render(module_report) == texts[0]


def test_the_page_is_made_for_phones_both_schemes_and_readers(page: Page, texts: tuple[str, str]) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert [len(page.all(tag)) for tag in ("header", "main", "footer")] == [1, 1, 1]
    assert "@media (prefers-color-scheme: dark)" in texts[0]
    assert "@media print" in texts[0]


def test_headings_skip_no_level(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_table_has_a_caption_heads_and_a_place_to_scroll_in(page: Page) -> None:
    tables = [index for index, (tag, _) in enumerate(page.elements) if tag == "table"]
    assert len(page.all("caption")) == len(tables)
    assert all(found.get("scope") in ("col", "row") for found in page.all("th"))
    for index in tables:
        assert page.elements[index - 1][1]["class"] in ("scroll", "part")


def test_every_chart_has_a_picture_a_sentence_and_its_data(page: Page) -> None:
    charts = [found for found in page.all("div") if found.get("class") == "chart"]
    assert len(charts) == len(page.all("figure")) == 11
    assert all(found["role"] == "img" and len(found["aria-label"]) > 40 for found in charts)
    assert len(page.all("svg")) == 11
    assert (
        sum(
            "figure" in parents and tag == "details"
            for (tag, _), parents in zip(page.elements, page.parents, strict=True)
        )
        == 11
    )
    assert set(json.loads(page.text_of("script")[0])) == {found["data-chart"] for found in charts}


def test_states_have_a_word_and_a_symbol_besides_their_colour(page: Page) -> None:
    states = [
        text
        for text, found in zip(page.text_of("span"), page.all("span"), strict=True)
        if found.get("class") == "state"
    ]
    assert {"✗fail", "✗weak fail", "~inconclusive", "+accepted", "✓pass", "✓weak pass"} <= set(states)


def test_controls_of_the_examples_wait_for_the_script(page: Page) -> None:
    (controls,) = [found for found in page.all("div") if found.get("id") == "controls"]
    assert "hidden" in controls


def test_the_page_tells_the_whole_story(page: Page) -> None:
    (body,) = page.text_of("body")
    for part in (
        "fell from 0.898 (release-1.4) to 0.846",
        "118 rows were removed",
        "slmcheck diagnose phrase_tone/lora --try",
        "REGRESSION: the drop is real",
        "1 survives Holm.",
        "smallest drop visible 3.6 points of accuracy",
        "Train shorter or regularise",
        "agreement (fp32)",
        "Phrase: Thanks to you I actually understand recursion",
        "lora_alpha",
        "differs from the reference",
    ):
        assert part in body, part


def test_tests_that_failed_without_a_claim_are_listed(module_report: Report) -> None:
    outcome = replace(module_report.outcomes[0], test="suites/a.py::test_shape", outcome="failed", message="3 != 4")
    text = render(replace(module_report, runs=(), verdicts=(), outcomes=(outcome,)))
    assert "Tests that did not pass for another reason" in text
    assert "3 != 4" in text


def test_an_empty_report_is_a_page() -> None:
    empty = Page(render(Report()))
    assert empty.text_of("h1") == ["~No gate was judged"]
    assert len(empty.all("script")) == 2


@pytest.mark.slow
def test_a_browser_draws_every_chart_and_runs_nothing_planted(
    hostile: Page, texts: tuple[str, str], tmp_path: Path
) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium is installed")
    (tmp_path / "page.html").write_text(texts[1], encoding="utf-8")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
        " --disable-component-update --disable-sync --window-size=1200,40000 --virtual-time-budget=20000 --dump-dom"
    )
    command = [chromium, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", f"file://{tmp_path / 'page.html'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    drawn = Page(done.stdout)
    live = [found for found in drawn.all("div") if "live" in found.get("class", "").split()]
    assert len(live) == len(hostile.all("figure")) > 0
    assert all("waiting" not in found["class"] for found in live)
    assert not drawn.all("img")
    assert len(drawn.all("script")) == 3
    assert "14 of 14 examples" in drawn.text_of("p")
