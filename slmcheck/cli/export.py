"""`slmcheck export`: a run -> the folder to deploy."""

from __future__ import annotations

import argparse
from pathlib import Path

from slmcheck.cli.options import RUN_HELP, add_work_options, workspace_of
from slmcheck.cli.output import Result, megabytes, table
from slmcheck.cli.parsing import Parser, comma_separated, flat
from slmcheck.evaluation.library import export
from slmcheck.evaluation.opening import open_run
from slmcheck.export.deploying import Limits
from slmcheck.pipeline import Deployed
from slmcheck.records import Json, to_json

EXAMPLES = """\
  slmcheck export release_gate/lora deploy                       fp32, the numbers of the trained model
  slmcheck export release_gate/lora deploy --precision int8      a quarter of the bytes
  slmcheck export mail/spam deploy --adapters mail/tone          one graph, two adapters, switched per call
  slmcheck export mail/spam deploy --precision int4 --exporter genai"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument("directory", metavar="DIR", help="new or empty folder, or one with an earlier export")
    parser.add_argument(
        "--precision",
        default="fp32",
        metavar="NAME",
        help="of the weights: fp32, fp16, bf16, int8, int8-dynamic, int4 (default: fp32)",
    )
    parser.add_argument(
        "--exporter", default="onnx", metavar="NAME", help="onnx, genai, or an installed plugin (default: onnx)"
    )
    parser.add_argument(
        "--adapters",
        action="append",
        type=comma_separated,
        metavar="RUN",
        help="further runs on the same base model, beside RUN: the graph holds the base model, each run is an adapter "
        "file; may be repeated",
    )
    for name, meaning in (("first-token", "from a prompt to its first token"), ("token", "of each further token")):
        parser.add_argument(f"--{name}-ms", type=float, metavar="MS", help=f"limit on the target device: {meaning}")
    parser.add_argument("--answer-ms", type=float, metavar="MS", help="limit on the target device: choosing an option")
    add_work_options(parser)


def execute(arguments: argparse.Namespace) -> Result:
    """Export on a miss, write the folder, and show what is in it."""
    adapters = flat(arguments.adapters)
    workspace = workspace_of(arguments, [arguments.run, *adapters])
    found = export(
        open_run(arguments.run, workspace=workspace),
        Path(arguments.directory),
        arguments.precision,
        exporter=arguments.exporter,
        adapters=adapters,
        limits=Limits(first_token=arguments.first_token_ms, token=arguments.token_ms, answer=arguments.answer_ms),
        workspace=workspace,
    )
    return Result(text=_text(found), document=_document(found))


def _text(found: Deployed) -> str:
    facts = found.facts
    rows = [
        ("folder", str(found.directory)),
        ("model", f"{facts.precision}, {megabytes(facts.size_bytes)}, opset {facts.opset}"),
        *[("adapter", name) for name in found.adapters],
        ("run it", f"python {found.directory / 'runner.py'} PROMPT"),
        ("check it", f"python {found.directory / 'selfcheck' / 'selfcheck.py'}  ({found.prompts} prompts)"),
        ("needs", "onnxruntime, numpy, tokenizers"),
    ]
    return table(rows)


def _document(found: Deployed) -> dict[str, Json]:
    return {
        "folder": str(found.directory),
        "precision": found.facts.precision,
        "size_bytes": found.facts.size_bytes,
        "adapters": list(found.adapters),
        "prompts": found.prompts,
        "facts": to_json(found.facts),
    }
