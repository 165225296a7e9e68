"""`slmcheck demo`: the shipped suites are copied and run; training itself is tests/cli/test_train.py's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from slmcheck import reports
from slmcheck.cli import demo
from slmcheck.records import Report
from slmcheck.reports import FORMATS

real_write_all = reports.write_all
SHIPPED = Path(__file__).parents[2] / "suites"


@pytest.fixture
def shipped(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tests' own suite in place of the shipped ones, whose trainings take minutes."""
    moved = project / "shipped"
    (project / "suites").rename(moved)
    for recipe in moved.glob("*/new.*"):
        recipe.unlink()
    test = moved / "tone" / "test_tone.py"
    test.write_text(test.read_text().partition("\n\n\n")[0] + "\n")
    monkeypatch.setattr(demo, "shipped_suites", lambda: moved)
    monkeypatch.setattr(reports, "write_all", write_without_charts)
    return moved


def write_without_charts(report: Report, folder: Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
    """What `write_all` writes, the page without its charts: they take seconds and have tests of their own."""
    written = real_write_all(report, folder, [name for name in formats if name != "html"])
    page = folder / "report.html"
    page.write_text("<html></html>")
    return (*written, page)


def test_the_shipped_suites_are_found_in_a_checkout() -> None:
    assert demo.shipped_suites() == SHIPPED
    assert {"phrase_tone", "faq_answers", "release_gate"} <= set(demo.chosen_suites(()))


def test_it_copies_runs_reports_and_says_where_the_page_lies(
    slmcheck: Callable[..., Any], shipped: Path, project: Path
) -> None:
    ran = slmcheck("demo")
    assert ran.status == 0
    assert "1 passed" in ran.out
    assert "report: slmcheck-demo/report/report.html" in ran.out
    assert (project / "slmcheck-demo/suites/tone/old.yaml").is_file()
    assert (project / "slmcheck-demo/.slmcheck/store").is_dir()


def test_a_second_time_it_keeps_what_is_there(slmcheck: Callable[..., Any], shipped: Path, project: Path) -> None:
    slmcheck("demo")
    mine = project / "slmcheck-demo/suites/tone/test_tone.py"
    mine.write_text(mine.read_text() + "# mine\n")
    page = project / "slmcheck-demo/report/report.html"
    before = page.stat().st_mtime_ns
    assert slmcheck("demo").status == 0
    assert mine.read_text().endswith("# mine\n")
    assert page.stat().st_mtime_ns == before


def test_a_changed_outcome_makes_a_new_page(slmcheck: Callable[..., Any], shipped: Path, project: Path) -> None:
    slmcheck("demo")
    page = project / "slmcheck-demo/report/report.html"
    before = page.stat().st_mtime_ns
    test = project / "slmcheck-demo/suites/tone/test_tone.py"
    test.write_text(test.read_text().replace("0.5", "0.95"))
    assert slmcheck("demo").status == 1
    assert page.stat().st_mtime_ns > before


def test_json_is_one_object(slmcheck: Callable[..., Any], shipped: Path, project: Path) -> None:
    document = slmcheck("demo", "--suite", "tone", "--directory", "here", "--json").document
    assert document["exit_status"] == 0
    assert document["page"] == str(project / "here/report/report.html")


def test_an_unknown_suite_lists_those_there_are(slmcheck: Callable[..., Any], project: Path) -> None:
    ran = slmcheck("demo", "--suite", "phrase_tine")
    assert ran.status == 2
    assert "Did you mean 'phrase_tone'?" in ran.err
