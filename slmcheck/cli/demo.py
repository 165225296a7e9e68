"""`slmcheck demo`: the shipped suites, as a new user runs them."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from slmcheck import reports
from slmcheck.cli.output import Result, report_document, say
from slmcheck.cli.parsing import Parser
from slmcheck.errors import InputError, WorkError
from slmcheck.records import Json, Report
from slmcheck.reports.json import ordered

EXAMPLES = """\
  slmcheck demo                           fine-tune, gate, report; a second time everything comes from the store
  slmcheck demo --suite phrase_tone       one suite only
  slmcheck demo --directory /tmp/demo"""
PAGE = "report.html"
CONFIGURATION = """\
# Makes this folder a project of its own: reports and the store lie in .slmcheck beside this file.
[pytest]
addopts = -q -p no:cacheprovider --import-mode=importlib
"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--directory", default="slmcheck-demo", metavar="DIR", help="where to copy the suites (default: slmcheck-demo)"
    )
    parser.add_argument(
        "--suite", action="append", metavar="NAME", help="a shipped suite; may be repeated (default: all of them)"
    )


def execute(arguments: argparse.Namespace) -> Result:
    """Copy what is not there yet, run it, and say where the report lies."""
    from slmcheck.cli.sessions import run_pytest, shortest  # imports pytest

    directory = Path(arguments.directory).absolute()
    names = chosen_suites(arguments.suite or ())
    for name in names:
        copy_suite(name, directory / "suites")
    _configure(directory)
    say(
        f"Running {', '.join(names)} in {shortest(directory)}; each recipe is fine-tuned once, then found in the store."
    )
    session = run_pytest([f"suites/{name}" for name in names], folder=directory, quiet_stdout=arguments.json)
    document: dict[str, Json] = {
        "exit_status": session.status,
        "directory": str(directory),
        "suites": list(names),
        "report": report_document(session.report),
    }
    if session.report is None:
        return Result(text="", document=document, status=session.status)
    page = write_page(session.report, directory / "report")
    lines = [
        f"report: {shortest(page)}",
        f"next: change a recipe in {shortest(directory / 'suites')} and run the demo again,",
        "      or start a suite of your own: slmcheck init NAME --data FILE",
    ]
    return Result(text="\n".join(lines), document={**document, "page": str(page)}, status=session.status)


def shipped_suites() -> Path:
    """The folder of the suites that come with slmcheck: in the package, or in a checkout beside it.

    Raises:
        WorkError: If the installation lacks them.
    """
    package = Path(str(files("slmcheck")))
    for folder in (package / "shipped_suites", package.parent / "suites"):
        if folder.is_dir():
            return folder
    raise WorkError(
        f"The shipped suites are missing from this installation.\nLooked in {package / 'shipped_suites'}.\n"
        "Install slmcheck again: pip install --force-reinstall slmcheck"
    )


def chosen_suites(asked: Sequence[str]) -> tuple[str, ...]:
    """Names of shipped suites: those asked for, else all.

    Raises:
        InputError: If one is unknown.
    """
    known = sorted(path.parent.name for path in shipped_suites().glob("*/test_*.py"))
    for name in asked:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise InputError(f"There is no shipped suite '{name}'.\nShipped: {', '.join(known)}.{hint}")
    return tuple(dict.fromkeys(asked)) or tuple(known)


def copy_suite(name: str, target: Path) -> None:
    """Copy a shipped suite into a folder; one that is there stays as it is."""
    if not (target / name).exists():
        ignored = shutil.ignore_patterns("__pycache__", ".slmcheck", "*.pyc")
        shutil.copytree(shipped_suites() / name, target / name, ignore=ignored)


def write_page(report: Report, folder: Path) -> Path:
    """Write every format of a report unless the same one lies there; gives the HTML page."""
    page = folder / PAGE
    if not page.is_file() or not _tells_the_same(report, folder):
        reports.write_all(report, folder)
    return page


def _tells_the_same(report: Report, folder: Path) -> bool:
    try:
        before = reports.read_report(folder)
    except InputError:
        return False  # missing, damaged or of another version: it is written again
    return _timeless(before) == _timeless(report)


def _timeless(report: Report) -> Report:
    """A report without when and how it was asked for."""
    return replace(ordered(report), created="", command="")


def _configure(directory: Path) -> None:
    path = directory / "pytest.ini"
    if not path.exists():
        path.write_text(CONFIGURATION, encoding="utf-8")
