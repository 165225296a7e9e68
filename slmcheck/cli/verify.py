"""`slmcheck verify`: is a bundle what it says?"""

from __future__ import annotations

import argparse
from pathlib import Path

from slmcheck.cli.output import Result
from slmcheck.cli.parsing import Parser
from slmcheck.evaluation.verifying import VerifiedBundle, verify_bundle
from slmcheck.records import to_json
from slmcheck.reports.text import counted, one_line

EXAMPLES = """\
  slmcheck verify bundle.tar                     every digest, every score and verdict; offline, without torch
  slmcheck verify bundle.tar --json"""
_SHOWN = 20


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help="what slmcheck report --format bundle wrote")


def execute(arguments: argparse.Namespace) -> Result:
    """Check, and say what was altered; exit status 1 if anything was."""
    found = verify_bundle(Path(arguments.bundle))
    return Result(text=_text(found), document=to_json(found), status=int(bool(found.altered)))


def _text(found: VerifiedBundle) -> str:
    lines = []
    if found.altered:
        lines.append(f"✗ {found.path} was altered: {counted(len(found.altered), 'place')}.")
        lines += [f"  {one_line(text)}" for text in found.altered[:_SHOWN]]
        lines += [f"  and {len(found.altered) - _SHOWN:,} more"] if len(found.altered) > _SHOWN else []
    else:
        lines.append(f"✓ {found.path} is as it was written. Its statement says {found.result}.")
    lines.append(
        f"{counted(found.files, 'file')}, {counted(found.scores, 'score')} and {counted(found.verdicts, 'verdict')} "
        "computed again from statistics by example."
    )
    if found.not_recomputed:
        names = ", ".join(one_line(name, 60) for name in found.not_recomputed[:3])
        lines.append(f"Without statistics, so not computed again: {len(found.not_recomputed):,} ({names}).")
    return "\n".join(lines)
