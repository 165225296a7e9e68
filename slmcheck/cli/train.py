"""`slmcheck train`: one recipe -> its run."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from slmcheck.cli.options import add_work_options, workspace_of
from slmcheck.cli.output import Result, duration, megabytes, table
from slmcheck.cli.parsing import Parser
from slmcheck.evaluation import Run
from slmcheck.evaluation.library import finetune
from slmcheck.records import Json, to_json

EXAMPLES = """\
  slmcheck train suites/phrase_tone/lora.yaml     train, or find the run in the store
  slmcheck train phrase_tone/lora --retrain       train again although the store has it"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("recipe", metavar="RECIPE", help="recipe file, or the name of one (suite/recipe)")
    parser.add_argument("--retrain", action="store_true", help="train again although the store has the run")
    parser.add_argument("--seeds", type=int, metavar="N", help="train N seeds, in place of the recipe's number")
    add_work_options(parser)


def execute(arguments: argparse.Namespace) -> Result:
    """Fine-tune, and say what came of it."""
    workspace = workspace_of(arguments, [arguments.recipe])
    workspace = replace(workspace, retrain=bool(arguments.retrain))
    started = time.monotonic()
    run = finetune(arguments.recipe, workspace=workspace, seeds=arguments.seeds)
    trained = run.key in workspace.retrained
    return Result(text=_summary(run, trained, time.monotonic() - started), document=_document(run, trained))


def _summary(run: Run, trained: bool, seconds: float) -> str:
    record, resources = run.record, run.resources
    how = f"trained in {duration(seconds)}" if trained else f"found in the store, trained {record.created}"
    rows = [("run", f"{run.recipe.name}, key {run.key[:12]}: {how}")]
    if record.made_elsewhere:
        rows.append(("made on", f"{record.environment}, not this machine"))
    if record.last_step is not None:
        best = f", best {record.best_step}" if record.best_step is not None else ""
        rows.append(("steps", f"{record.last_step}{best}{', stopped early' if record.stopped_early else ''}"))
    losses = [point for point in record.history if point.validation_loss is not None]
    if losses:
        kept = next((point for point in losses if point.step == record.best_step), losses[-1])
        before = losses[0].validation_loss
        rows.append(("validation loss", f"{before:.3f} before, {kept.validation_loss:.3f} kept (nats a token)"))
    if resources.trained_parameters:
        rows.append(("weights", f"{resources.trained_parameters:,} trained of {resources.total_parameters or 0:,}"))
    if resources.peak_memory_bytes:
        rows.append(("peak memory", megabytes(resources.peak_memory_bytes)))
    if resources.tokens_per_second:
        rows.append(("pace", f"{resources.tokens_per_second:,.0f} tokens/s"))
    rows.append(("checkpoint", str(run.checkpoint.path)))
    rows += [("note", note) for note in record.notes]
    rows.append(("next", f"slmcheck evaluate {run.recipe.name} --metric NAME, or pytest {run.recipe.directory}"))
    return table(rows)


def _document(run: Run, trained: bool) -> dict[str, Json]:
    return {
        "run": run.recipe.name,
        "keys": [record.key for record in run.records],
        "trained": trained,
        "record": to_json(run.record),
    }
