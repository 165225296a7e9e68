"""`slmcheck report`: a stored report -> HTML, Markdown, JSON, model card or terminal."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from slmcheck import reports
from slmcheck.cli.output import Result, report_document
from slmcheck.cli.parsing import Parser
from slmcheck.evaluation.library import render, report, report_folder

EXAMPLES = """\
  slmcheck report                                          the newest report, in the terminal
  slmcheck report latest --format html                     an HTML page beside its report.json
  slmcheck report slm-report --format markdown             for a pull request
  slmcheck report latest --format card --output cards/     a model card a run"""
FORMATS = ("terminal", "html", "markdown", "json", "card")


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source", metavar="DIR", nargs="?", default="latest", help="folder of a report, or latest (default: latest)"
    )
    parser.add_argument("--format", choices=FORMATS, default="terminal", help="what to render (default: terminal)")
    parser.add_argument(
        "--output",
        metavar="PATH",
        help="file or folder to write to; html and cards go beside report.json without it, the others are printed",
    )


def execute(arguments: argparse.Namespace) -> Result:
    """Render, and print or say where it lies."""
    folder = report_folder(arguments.source)
    found = reports.read_report(folder)
    if arguments.output is None and arguments.format not in ("html", "card"):
        texts = render(found, arguments.format, width=shutil.get_terminal_size().columns, color=sys.stdout.isatty())
        return Result(
            text="\n".join(texts.values()).rstrip("\n"),
            document={"folder": str(folder), "report": report_document(found)},
        )
    written = report(folder, format=arguments.format, output=arguments.output)
    shown = [str(_shortest(path)) for path in written]
    return Result(text="\n".join(shown), document={"folder": str(folder), "files": [str(path) for path in written]})


def _shortest(path: Path) -> Path:
    absolute = path.absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path
