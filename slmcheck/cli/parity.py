"""`slmcheck parity`: a run -> its ONNX export and how far the two agree."""

from __future__ import annotations

import argparse

from slmcheck.cli.options import RUN_HELP, add_work_options, workspace_of
from slmcheck.cli.output import Result, table
from slmcheck.cli.parsing import Parser, comma_separated, flat
from slmcheck.cli.scores import score_document, score_row
from slmcheck.evaluation.library import Parity, parity
from slmcheck.evaluation.opening import open_run
from slmcheck.records import Json

EXAMPLES = """\
  slmcheck parity release_gate/lora                       export in fp32, every agreement score
  slmcheck parity release_gate/lora --metric agreement    one of them"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--precision", default="fp32", metavar="NAME", help="precision of the exported weights (default: fp32)"
    )
    parser.add_argument(
        "--metric",
        action="append",
        type=comma_separated,
        metavar="NAME",
        help="an agreement score, or a metric of the task; may be repeated (default: every agreement score)",
    )
    add_work_options(parser)


def execute(arguments: argparse.Namespace) -> Result:
    """Export on a miss, run both, and show how far they agree."""
    workspace = workspace_of(arguments, [arguments.run])
    run = open_run(arguments.run, workspace=workspace)
    found = parity(run, arguments.precision, metrics=flat(arguments.metric), workspace=workspace)
    return Result(text=_text(found), document=_document(found))


def _text(found: Parity) -> str:
    header = ("score", "value", "95 % interval", "n", "of")
    return f"{table([score_row(score) for score in found.scores], header=header)}\n\nexport: {found.folder}"


def _document(found: Parity) -> dict[str, Json]:
    return {
        "run": found.run,
        "precision": found.precision,
        "folder": str(found.folder),
        "scores": [score_document(score) for score in found.scores],
    }
