"""`slmcheck evaluate`: a model, a run or saved predictions -> scores."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from slmcheck.cli.options import add_work_options, workspace_of
from slmcheck.cli.output import Result, table
from slmcheck.cli.parsing import Parser, comma_separated, flat
from slmcheck.cli.scores import score_document, score_row
from slmcheck.errors import InputError, UndefinedScoreError
from slmcheck.evaluation.comparing import USUAL_METRICS
from slmcheck.evaluation.library import evaluate, is_saved_predictions
from slmcheck.evaluation.opening import open_model
from slmcheck.gates import Score
from slmcheck.records import TASKS

EXAMPLES = """\
  slmcheck evaluate phrase_tone/lora --metric accuracy --metric f1
  slmcheck evaluate phrase_tone/lora --data new.jsonl --metric accuracy
  slmcheck evaluate ./my-model --data new.jsonl --recipe suites/phrase_tone/lora.yaml --metric accuracy
  slmcheck evaluate org/name --data rows.jsonl --metric rougeL         rows with the fields prompt and reference
  slmcheck evaluate predictions.jsonl --metric bleu                    saved by another tool"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "model", metavar="MODEL", help="a RUN, a folder of a model or adapter, a hub id, or saved predictions (.jsonl)"
    )
    parser.add_argument(
        "--data",
        action="append",
        metavar="FILE",
        help="rows to score: file or hub data set, may be repeated (default: the evaluation split of the run)",
    )
    parser.add_argument(
        "--metric",
        action="append",
        type=comma_separated,
        metavar="NAME",
        help="a metric of the task; may be repeated (default: the usual ones of the task)",
    )
    parser.add_argument(
        "--recipe", metavar="FILE", help="recipe whose template and settings a bare model is asked with"
    )
    parser.add_argument("--task", choices=TASKS, help="task of a bare model or of saved predictions")
    parser.add_argument(
        "--text-template", metavar="TEXT", help='template of a bare model: "Phrase: {phrase} Tone: {tone}"'
    )
    parser.add_argument("--answer", metavar="FIELD", help="field of the rows that a bare model must produce")
    add_work_options(parser)


def execute(arguments: argparse.Namespace) -> Result:
    """Score, and show each score with its interval."""
    names, score_of = _scorer(arguments)
    scores, left_out = [], []
    for name in names:
        try:
            scores.append(score_of(name))
        except UndefinedScoreError as error:
            if arguments.metric or (name == names[-1] and not scores):
                raise
            left_out.append(f"left out: {str(error).splitlines()[0]}")
    listed = table([score_row(score) for score in scores], header=("metric", "score", "95 % interval", "n", "of"))
    return Result(
        text="\n".join([listed, *left_out]),
        document={
            "model": arguments.model,
            "scores": [score_document(score) for score in scores],
            "left_out": left_out,
        },
    )


def _scorer(arguments: argparse.Namespace) -> tuple[tuple[str, ...], Callable[[str], Score]]:
    """The metrics that are asked for, and what scores them."""
    asked = flat(arguments.metric)
    if is_saved_predictions(arguments.model) and not arguments.data:
        if not asked:
            raise InputError("Saved predictions do not say what they are to be scored by.\nName it: --metric NAME")
        return asked, lambda name: evaluate(arguments.model, None, name, task=arguments.task)
    workspace = workspace_of(arguments, [arguments.model, *([arguments.recipe] if arguments.recipe else [])])
    view = open_model(
        arguments.model,
        arguments.data,
        recipe=arguments.recipe,
        task=arguments.task,
        text_template=arguments.text_template,
        answer=arguments.answer,
        workspace=workspace,
    )
    return asked or USUAL_METRICS[view.recipe.task], view.measure
