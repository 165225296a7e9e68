"""`slmcheck parity`: a run -> its ONNX export and how far the two agree."""

from __future__ import annotations

import argparse

from slmcheck.cli.options import RUN_HELP, add_work_options, workspace_of
from slmcheck.cli.output import Result, indented
from slmcheck.cli.parity_selfcheck import selfcheck_result
from slmcheck.cli.parity_text import parity_document, parity_text
from slmcheck.cli.parsing import Parser, comma_separated, flat
from slmcheck.evaluation.library import parity
from slmcheck.evaluation.opening import open_run
from slmcheck.records import to_json
from slmcheck.reports.locations import location_text

EXAMPLES = """\
  slmcheck parity release_gate/lora                       export in fp32, compare, judge by the default tolerances
  slmcheck parity release_gate/lora --precision int8      the same at another precision
  slmcheck parity release_gate/lora --metric agreement    one score, not judged
  slmcheck parity release_gate/lora --onnx out/           a graph or GenAI folder that another tool made of this run
  slmcheck parity release_gate/lora --locate              name the module and the node in which the export departs"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--precision",
        metavar="NAME",
        help="precision of the exported weights (default: fp32); of a given graph, whose tolerances hold",
    )
    parser.add_argument(
        "--onnx",
        metavar="PATH",
        help="an .onnx file, a folder with one, or a GenAI folder made of this run by any tool, in place of an export",
    )
    parser.add_argument(
        "--metric",
        action="append",
        type=comma_separated,
        metavar="NAME",
        help="an agreement score, or a metric of the task; may be repeated (default: every agreement score, judged)",
    )
    parser.add_argument(
        "--from",
        dest="selfcheck",
        metavar="FILE",
        help="selfcheck.json of a target device: how far it agrees there, judged; nothing is exported",
    )
    parser.add_argument(
        "--locate",
        action="store_true",
        help="name the weight, module and node in which the graph departs; of quantised graphs, what costs most",
    )
    add_work_options(parser)


def execute(arguments: argparse.Namespace) -> Result:
    """Export on a miss, run both, show how far they agree, and judge it."""
    workspace = workspace_of(arguments, [arguments.run])
    run = open_run(arguments.run, workspace=workspace)
    if arguments.selfcheck:
        return selfcheck_result(run, arguments.selfcheck)
    found = parity(run, arguments.precision, onnx=arguments.onnx, metrics=flat(arguments.metric), workspace=workspace)
    failed = found.judgement is not None and not found.judgement
    text, document = parity_text(found), parity_document(found)
    if arguments.locate:
        (view,) = run.exports.values()
        location = view.locate()
        text += f"\n\nwhere it departs\n{indented(location_text(location))}"
        document["location"] = to_json(location)
    return Result(text=text, document=document, status=1 if failed else 0)
