from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slmcheck.records import Report
from slmcheck.reports import FORMATS, read_report, write_all


def test_every_format_is_written_beside_the_canonical_one(report: Report, tmp_path: Path) -> None:
    written = write_all(report, tmp_path / "out")
    assert [path.name for path in written] == [
        "report.json",
        "report.html",
        "report.md",
        "card-faq_answers-lora.md",
        "card-phrase_tone-lora.md",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in written)


def test_renderings_of_a_read_report_are_the_same(report: Report, tmp_path: Path) -> None:
    first = write_all(report, tmp_path / "a", formats=("json", "markdown", "card"))
    second = write_all(read_report(first[0]), tmp_path / "b", formats=("json", "markdown", "card"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_formats_are_known_by_name() -> None:
    assert FORMATS == ("json", "html", "markdown", "card")


@pytest.mark.parametrize("names", ["json", "json,markdown,card"])
def test_formats_without_charts_import_no_chart_library(report: Report, tmp_path: Path, names: str) -> None:
    path = write_all(report, tmp_path, formats=("json",))[0]
    script = (
        "import sys; from pathlib import Path\n"
        "from slmcheck.reports import read_report, render_terminal, write_all\n"
        f"report = read_report(Path({str(path)!r})); render_terminal(report, 80, True)\n"
        f"write_all(report, Path({str(tmp_path)!r}), formats={names!r}.split(','))\n"
        "heavy = ('altair', 'vl_convert', 'torch', 'sklearn', 'scipy', 'pandas', 'jinja2', 'transformers')\n"
        "print(*[name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_page_imports_no_model_library(report: Report, tmp_path: Path) -> None:
    path = write_all(report, tmp_path, formats=("json",))[0]
    script = (
        "import sys; from pathlib import Path\nimport slmcheck.reports.html as html\n"
        "from slmcheck.reports import read_report\n"
        "from slmcheck.reports.charts import loss_curves\n"
        f"report = read_report(Path({str(path)!r})); loss_curves(report.runs[0], 'a')\n"
        "print(*[name for name in ('torch', 'sklearn', 'scipy', 'pandas', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
