"""Reports on disk: report.json and the renderings beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from slmcheck.records import Report
from slmcheck.reports import card, json, markdown

Format = Literal["json", "html", "markdown", "card"]
FORMATS: tuple[Format, ...] = ("json", "html", "markdown", "card")


def write_all(report: Report, folder: Path, formats: Iterable[Format] = FORMATS) -> tuple[Path, ...]:
    """Write the report in each format into `folder`; the files, in the order of `formats`.

    `report.json`, `report.html`, `report.md`, and a model card a run: `card.md`, or `card-<run>.md` where there are
    several runs.

    Raises:
        StoreError: If a file cannot be written.
    """
    report = json.canonical(report)
    written: list[Path] = []
    for name in formats:
        if name == "json":
            written.append(json.write(report, folder))
        elif name == "markdown":
            written.append(json.write_text(markdown.render(report), folder / "report.md"))
        elif name == "html":
            from slmcheck.reports import html  # the page needs its charts; the other formats are made without

            written.append(json.write_text(html.render(report), folder / "report.html"))
        else:
            written += [json.write_text(text, folder / file) for file, text in card.render_all(report).items()]
    return tuple(written)
