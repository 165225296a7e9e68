"""`slmcheck waive`: a gate that is not met -> a committed decision to ship this run all the same."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

from slmcheck import reports
from slmcheck.cli.output import Result, table
from slmcheck.cli.parsing import Parser
from slmcheck.errors import InputError
from slmcheck.evaluation.library import report_folder
from slmcheck.evaluation.naming import project_root
from slmcheck.evaluation.waiving import Waived, waive, waivers_of_project
from slmcheck.records import Json, to_json

EXAMPLES = """\
  slmcheck waive test_f1 --reason "fixed in 2.1" --expires 2026-12-01                     in the newest report
  slmcheck waive test_f1 --reason "a demo" --expires 2026-12-01 --from slm-report         in one that CI wrote
  slmcheck waive --list                                                                   do they count?"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("gate", metavar="GATE", nargs="?", help="the test that is not met: its name or node id")
    parser.add_argument("--reason", metavar="TEXT", help="why this run may be shipped all the same")
    parser.add_argument("--expires", metavar="DATE", help="the last day it counts, in UTC, as in 2026-12-01")
    parser.add_argument("--by", metavar="NAME", help="who decides (default: user.name of git)")
    parser.add_argument(
        "--from", dest="source", metavar="REPORT_DIR", default="latest", help="report with the gate (default: latest)"
    )
    parser.add_argument("--list", action="store_true", help="list the waivers of the project instead")


def execute(arguments: argparse.Namespace) -> Result:
    """Write a waiver, or list them."""
    if arguments.list:
        return _list()
    missing = [
        name
        for name, value in (
            ("GATE", arguments.gate),
            ("--reason TEXT", arguments.reason),
            ("--expires DATE", arguments.expires),
        )
        if value is None
    ]
    if missing:
        raise InputError(
            f"slmcheck waive: {', '.join(missing)} missing.\n"
            "Usage: slmcheck waive GATE --reason TEXT --expires DATE\nHelp: slmcheck waive --help"
        )
    report = reports.read_report(report_folder(arguments.source))
    done = waive(arguments.gate, report, reason=arguments.reason, expires=arguments.expires, by=arguments.by)
    path = _shortest(done.path)
    lines = [
        f"Waived for run {done.waiver.run} {done.waiver.run_key[:12]} until {done.waiver.expires}: {path}",
        *(f"  {verdict.claim}: {verdict.lines[0] if verdict.lines else verdict.state}" for verdict in done.verdicts),
        f"Commit it: git add {path}",
        "It ends on that day, or with the next training. No baseline moves by it.",
    ]
    return Result(text="\n".join(lines), document={"file": str(path), "waiver": to_json(done.waiver)})


def _list() -> Result:
    now = datetime.datetime.now(datetime.UTC)
    found = waivers_of_project(project_root(), now)
    rows = [_row(item, now) for item in found]
    text = table(rows, header=("state", "gate", "run key", "until", "by", "reason")) if rows else "No gate is waived."
    waivers: list[Json] = [
        {"file": str(_shortest(item.path)), "expired": item.waiver.is_expired(now), "waiver": to_json(item.waiver)}
        for item in found
    ]
    return Result(text=text, document={"waivers": waivers})


def _row(item: Waived, now: datetime.datetime) -> tuple[str, ...]:
    waiver = item.waiver
    state = "expired" if waiver.is_expired(now) else "counts"
    return state, waiver.gate, waiver.run_key[:12], waiver.expires, waiver.by, waiver.reason


def _shortest(path: Path) -> Path:
    """A path as a person would type it."""
    absolute = path.absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path
