"""`slmcheck compare`: two runs, baselines or files of saved predictions -> what changed."""

from __future__ import annotations

import argparse

from slmcheck.cli.options import add_work_options, workspace_of
from slmcheck.cli.output import Result
from slmcheck.cli.parsing import Parser, comma_separated, flat
from slmcheck.cli.scores import changed_document, changes_text, flips_document
from slmcheck.cli.studies import add_budget, explanation_document, explanation_text, trainings_of
from slmcheck.errors import InputError
from slmcheck.evaluation import Run
from slmcheck.evaluation.comparing import BASELINE, Compared, baseline_run, compare_sides
from slmcheck.evaluation.opening import open_run
from slmcheck.records import Json
from slmcheck.workspace import Workspace

EXAMPLES = """\
  slmcheck compare phrase_tone/old phrase_tone/new                     every usual metric, flipped examples first
  slmcheck compare baseline phrase_tone/lora --metric accuracy         against what was accepted
  slmcheck compare old.jsonl new.jsonl --metric f1 --margin 0.01       saved predictions; exit status 1 if worse
  slmcheck compare old.jsonl new.jsonl --metric bleu --gate release    exit status 1 unless proven
  slmcheck compare phrase_tone/old phrase_tone/new --explain           which difference accounts for the change"""


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
    parser.add_argument(
        "--explain",
        action="store_true",
        help="say which difference of two runs accounts for the change, by training with one reverted at a time",
    )
    parser.add_argument(
        "--python", metavar="OTHER", help="with --explain: the interpreter that has the libraries of the older run"
    )
    add_budget(parser)
    add_work_options(parser)


def execute(arguments: argparse.Namespace) -> Result:
    """Compare, and gate where a margin or a policy is given."""
    metrics = flat(arguments.metric)
    if arguments.margin is not None and len(metrics) != 1:
        raise InputError("--margin is in the unit of one metric.\nName it: --metric NAME --margin X")
    if not 0.0 < arguments.alpha < 0.5:
        raise InputError(f"--alpha is {arguments.alpha:g}; expected a level between 0 and 0.5, such as 0.05.")
    workspace = workspace_of(arguments, [arguments.a, arguments.b])
    if arguments.explain:
        return _explain(arguments, metrics, workspace)
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


def _explain(arguments: argparse.Namespace, metrics: tuple[str, ...], workspace: Workspace) -> Result:
    """What of the differences between two runs matters; trains, and says how much before it does."""
    from slmcheck.studies import explain

    if len(metrics) > 1 or arguments.margin is not None or arguments.gate is not None:
        raise InputError("--explain takes one --metric, and no --margin or --gate: it explains and judges nothing.")
    old, new = _runs(arguments.a, arguments.b, workspace)
    metric = metrics[0] if metrics else None
    found = explain(old, new, trainings_of(arguments, workspace), metric=metric, python=arguments.python)
    return Result(text=explanation_text(found), document=explanation_document(found))


def _runs(a: str, b: str, workspace: Workspace) -> tuple[Run, Run]:
    """Both sides as runs; the word `baseline` means the run that the other side's baseline was accepted of."""
    if a == b == BASELINE:
        raise InputError(f"Both sides are '{BASELINE}': one of them must be a run.")
    if BASELINE not in (a, b):
        return open_run(a, workspace=workspace), open_run(b, workspace=workspace)
    run = open_run(b if a == BASELINE else a, workspace=workspace)
    return baseline_run(run), run


def _document(compared: Compared) -> dict[str, Json]:
    return {
        "old": compared.old,
        "new": compared.new,
        "holds": compared.holds,
        "scores": [changed_document(changed) for changed in compared.scores],
        "flips": flips_document(compared.flips),
        "left_out": list(compared.left_out),
    }
