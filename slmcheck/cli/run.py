"""`slmcheck run`: suites, judged by pytest, and the report in every format."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from slmcheck import reports
from slmcheck.cli.output import Result, report_document
from slmcheck.cli.parsing import Parser
from slmcheck.records import Json

EXAMPLES = """\
  slmcheck run                                     the folder suites, or the current one
  slmcheck run suites/phrase_tone -k accuracy      with any argument of pytest
  slmcheck run suites --slm-gate=release           primary gates must be proven
  slmcheck run suites -n 4                         with pytest-xdist: one training a recipe all the same"""
WITH_VALUE = frozenset(
    {
        *("-k", "-m", "-c", "-p", "-n", "-o", "-r", "-W", "--tb", "--color", "--maxfail", "--durations", "--dist"),
        *("--ignore", "--ignore-glob", "--deselect", "--rootdir", "--basetemp", "--confcutdir", "--import-mode"),
        *("--junitxml", "--junit-xml", "--junit-prefix", "--cov", "--log-level", "--override-ini", "--timeout"),
        *("--slm-report", "--slm-gate", "--slm-device", "--slm-seeds", "--slm-environment"),
    }
)
"""Options of pytest whose next argument is their value, so that it is not taken for a suite."""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.rest = "SUITES and pytest arguments"


def execute(arguments: argparse.Namespace) -> Result:
    """Run pytest; its exit status is that of the command."""
    from slmcheck.cli.sessions import run_pytest, shortest  # imports pytest

    given = list(arguments.rest)
    session = run_pytest(given if names_suites(given) else [*default_suites(), *given], quiet_stdout=arguments.json)
    lines = []
    if session.report is not None and session.folder is not None and not _is_asked(given):
        written = reports.write_all(session.report, session.folder, formats=("html", "markdown", "card"))
        lines = [f"html: {shortest(written[0])}", "again: slmcheck report latest --format html|markdown|json|card"]
    document: dict[str, Json] = {
        "exit_status": session.status,
        "folder": str(session.folder) if session.folder is not None else None,
        "report": report_document(session.report),
    }
    return Result(text="\n".join(lines), document=document, status=session.status)


def names_suites(arguments: Sequence[str]) -> bool:
    """Whether arguments of pytest name a file or folder to run."""
    previous = ""
    for argument in arguments:
        is_value = previous in WITH_VALUE
        if not argument.startswith("-") and not is_value:
            return True
        previous = argument
    return False


def default_suites() -> list[str]:
    """What is run when nothing is named."""
    return ["suites"] if Path("suites").is_dir() else ["."]


def _is_asked(arguments: Sequence[str]) -> bool:
    """Whether the plugin itself writes every format, to a folder of the user's."""
    return any(argument == "--slm-report" or argument.startswith("--slm-report=") for argument in arguments)
