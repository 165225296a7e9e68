"""`slmcheck compare`: two runs, baselines or files of saved predictions -> what changed."""

from __future__ import annotations

import argparse

from slmcheck.cli.options import add_work_options, workspace_of
from slmcheck.cli.output import Result
from slmcheck.cli.parsing import Parser, comma_separated, flat
from slmcheck.cli.scores import changed_document, changes_text, flips_document
from slmcheck.errors import InputError
from slmcheck.evaluation.comparing import BASELINE, Compared, compare_sides
from slmcheck.records import Json

EXAMPLES = """\
  slmcheck compare phrase_tone/old phrase_tone/new                     every usual metric, flipped examples first
  slmcheck compare baseline phrase_tone/lora --metric accuracy         against what was accepted
  slmcheck compare old.jsonl new.jsonl --metric f1 --margin 0.01       saved predictions; exit status 1 if worse
  slmcheck compare old.jsonl new.jsonl --metric bleu --gate release    exit status 1 unless proven"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    sides = f"a RUN, a baseline file, saved predictions (.jsonl), or the word {BASELINE} for that of the other side"
    parser.add_argument("a", metavar="A", help=f"the older side: {sides}")
    parser.add_argument("b", metavar="B", help="the newer side: likewise")
    parser.add_argument(
        "--metric",
        action="append",
        type=comma_separated,
        metavar="NAME",
        help="what to compare by; may be repeated (default: the usual metrics that both sides have)",
    )
    parser.add_argument(
        "--margin", type=float, metavar="X", help="how much worse the newer score may be; makes the answer a gate"
    )
    parser.add_argument(
        "--gate", choices=("dev", "release"), help="dev: false on evidence; release: false unless proven"
    )
    parser.add_argument(
        "--alpha", type=float, default=0.05, metavar="P", help="one-sided level of each comparison (default: 0.05)"
    )
    add_work_options(parser)


def execute(arguments: argparse.Namespace) -> Result:
    """Compare, and gate where a margin or a policy is given."""
    metrics = flat(arguments.metric)
    if arguments.margin is not None and len(metrics) != 1:
        raise InputError("--margin is in the unit of one metric.\nName it: --metric NAME --margin X")
    if not 0.0 < arguments.alpha < 0.5:
        raise InputError(f"--alpha is {arguments.alpha:g}; expected a level between 0 and 0.5, such as 0.05.")
    workspace = workspace_of(arguments, [arguments.a, arguments.b])
    compared = compare_sides(
        arguments.a,
        arguments.b,
        metrics=metrics,
        margin=arguments.margin,
        gate=arguments.gate or "dev",
        alpha=arguments.alpha,
        workspace=workspace,
    )
    is_gate = arguments.margin is not None or arguments.gate is not None
    return Result(
        text=changes_text(compared, full=bool(metrics) or is_gate),
        document=_document(compared),
        status=int(is_gate and not compared.holds),
    )


def _document(compared: Compared) -> dict[str, Json]:
    return {
        "old": compared.old,
        "new": compared.new,
        "holds": compared.holds,
        "scores": [changed_document(changed) for changed in compared.scores],
        "flips": flips_document(compared.flips),
        "left_out": list(compared.left_out),
    }
