"""`slmcheck report`: a stored report -> HTML, Markdown, JSON, model card or terminal."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from slmcheck import reports
from slmcheck.cli.output import Result, report_document
from slmcheck.cli.parsing import Parser
from slmcheck.evaluation.bundling import bundle
from slmcheck.evaluation.library import render, report, report_folder
from slmcheck.evaluation.naming import project_root
from slmcheck.records import Report
from slmcheck.reports.annotations import render as render_annotations
from slmcheck.storage.git import repository_of
from slmcheck.workspace import Workspace

EXAMPLES = """\
  slmcheck report                                          the newest report, in the terminal
  slmcheck report latest --format html                     an HTML page beside its report.json
  slmcheck report slm-report --format markdown             for a pull request
  slmcheck report latest --format card --output cards/     a model card a run
  slmcheck report slm-report --format annotations          in GitHub Actions: marks on the lines of the asserts
  slmcheck report latest --format bundle                   one archive of evidence, for slmcheck verify"""
FORMATS = ("terminal", "html", "markdown", "json", "card", "annotations", "bundle")


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source", metavar="DIR", nargs="?", default="latest", help="folder of a report, or latest (default: latest)"
    )
    parser.add_argument("--format", choices=FORMATS, default="terminal", help="what to render (default: terminal)")
    parser.add_argument(
        "--output",
        metavar="PATH",
        help="file or folder to write to; without it html, cards and bundles go beside report.json, others are printed",
    )


def execute(arguments: argparse.Namespace) -> Result:
    """Render, and print or say where it lies."""
    folder = report_folder(arguments.source)
    if arguments.format == "bundle":
        return _bundled(folder, arguments.output)
    found = reports.read_report(folder)
    if arguments.format == "annotations":
        return _annotated(found, folder)
    if arguments.output is None and arguments.format not in ("html", "card"):
        texts = render(found, arguments.format, width=shutil.get_terminal_size().columns, color=sys.stdout.isatty())
        return Result(
            text="\n".join(texts.values()).rstrip("\n"),
            document={"folder": str(folder), "report": report_document(found)},
        )
    written = report(folder, format=arguments.format, output=arguments.output)
    shown = [str(_shortest(path)) for path in written]
    return Result(text="\n".join(shown), document={"folder": str(folder), "files": [str(path) for path in written]})


def _annotated(found: Report, folder: Path) -> Result:
    """Paths are given from the top of the repository, where GitHub looks for them."""
    root = project_root().resolve()
    top = repository_of(root)
    prefix = f"{root.relative_to(top.resolve()).as_posix()}/" if top is not None and top.resolve() != root else ""
    text = render_annotations(found, prefix)
    return Result(text=text.rstrip("\n"), document={"folder": str(folder), "annotations": text.splitlines()})


def _bundled(folder: Path, output: str | None) -> Result:
    target = bundle(folder, None if output is None else Path(output), Workspace.at(project_root()))
    return Result(text=str(_shortest(target)), document={"folder": str(folder), "files": [str(target)]})


def _shortest(path: Path) -> Path:
    absolute = path.absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path
