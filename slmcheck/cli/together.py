"""`slmcheck together`: adapters of one base model, evaluated side by side and held to not disturb each other."""

from __future__ import annotations

import argparse
from pathlib import Path

from slmcheck.cli.options import add_work_options, workspace_of
from slmcheck.cli.output import Result, indented, table
from slmcheck.cli.parsing import Parser, comma_separated, flat
from slmcheck.cli.scores import score_document, score_row
from slmcheck.evaluation.together import Together, together
from slmcheck.records import Json, to_json

EXAMPLES = """\
  slmcheck together mail/spam mail/tone                        two adapters on one base model
  slmcheck together suites/mail/*.yaml --metric f1             a family of recipes, trained where needed
  slmcheck together mail/spam mail/tone --export deploy        and one ONNX graph with an adapter file a run"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="two or more runs on one base model: names, keys, or recipe files, which are trained where needed",
    )
    parser.add_argument(
        "--metric",
        action="append",
        type=comma_separated,
        metavar="NAME",
        help="a metric of every run's task; may be repeated (default: the usual ones of each task)",
    )
    parser.add_argument(
        "--export", metavar="DIR", help="write the ONNX graph of the base model with an adapter file a run"
    )
    parser.add_argument(
        "--precision", default="fp32", metavar="NAME", help="of the exported base model: fp32, int8, int8-dynamic, int4"
    )
    add_work_options(parser)


def execute(arguments: argparse.Namespace) -> Result:
    """Load the adapters onto one base model, show their scores and whether they keep apart."""
    workspace = workspace_of(arguments, arguments.runs)
    found = together(arguments.runs, workspace=workspace)
    metrics = flat(arguments.metric)
    scores = {
        name: [member.measure(metric) for metric in metrics] if metrics else list(member.scores)
        for name, member in found.items()
    }
    exported = found.export(Path(arguments.export), arguments.precision) if arguments.export and found else None
    rows = [(name, *score_row(score)[:4]) for name, own in scores.items() for score in own]
    parts = [
        "each adapter among the others\n"
        + indented(table(rows, header=("run", "metric", "value", "95 % interval", "examples"))),
        _checks(found),
        "switched: " + ("from row to row, or for whole batches" if found.switches_rows else "for whole batches only"),
    ]
    if exported is not None:
        parts.append(f"export: {exported.directory} (adapters: {', '.join(exported.adapters)})")
    document: dict[str, Json] = {
        "scores": {name: [score_document(score) for score in own] for name, own in scores.items()},
        "checks": [{**_mapping(to_json(check)), "passed": check.passed} for check in found.checks],
        "switches_rows": found.switches_rows,
        "passed": bool(found),
        "export": None if exported is None else str(exported.directory),
    }
    return Result(text="\n\n".join(parts), document=document, status=0 if found else 1)


def _checks(found: Together) -> str:
    rows = [
        ("holds" if check.passed else "FAILS", check.text, "" if check.passed else check.says) for check in found.checks
    ]
    return "interference\n" + indented(table(rows))


def _mapping(value: Json) -> dict[str, Json]:
    assert isinstance(value, dict)
    return value
