"""`slmcheck train`: one recipe -> its run."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from slmcheck.cli.options import add_work_options, workspace_of
from slmcheck.cli.output import Result, duration, megabytes, say, say_notes, table
from slmcheck.cli.parsing import Parser
from slmcheck.cli.studies import add_budget, search_document, search_text, trainings_of, trial_line
from slmcheck.evaluation import Run
from slmcheck.evaluation.opening import recipe_meant
from slmcheck.records import Json, Recipe, SearchRecord, to_json
from slmcheck.studies import BudgetSpentError, Searched, Trainings, open_recipe, search

EXAMPLES = """\
  slmcheck train suites/phrase_tone/lora.yaml     train, or find the run in the store
  slmcheck train phrase_tone/lora --retrain       train again although the store has it
  slmcheck train phrase_tone/search --budget 30   carry out its search for half an hour; again to go on"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("recipe", metavar="RECIPE", help="recipe file, or the name of one (suite/recipe)")
    parser.add_argument("--retrain", action="store_true", help="train again although the store has the run")
    parser.add_argument("--seeds", type=int, metavar="N", help="train N seeds, in place of the recipe's number")
    add_budget(parser)
    add_work_options(parser)


def execute(arguments: argparse.Namespace) -> Result:
    """Fine-tune, and say what came of it."""
    workspace = workspace_of(arguments, [arguments.recipe])
    workspace = replace(workspace, retrain=bool(arguments.retrain))
    started = time.monotonic()
    recipe, trainings = recipe_meant(arguments.recipe, workspace), trainings_of(arguments, workspace)
    say_notes(recipe.path)
    searched = None
    try:
        if recipe.search is not None:
            found = _search(recipe, trainings)
            searched = found.record
            if found.stopped:
                return Result(text=f"{search_text(searched)}\n{found.stopped}", document=_stopped(recipe, searched))
        run = open_recipe(recipe, trainings, seeds=arguments.seeds)
    except BudgetSpentError as error:
        text = f"{search_text(searched)}\n{error}" if searched is not None else str(error)
        return Result(text=text, document=_stopped(recipe, searched))
    trained = run.key in workspace.retrained
    summary = _summary(run, trained, time.monotonic() - started)
    return Result(
        text=summary if searched is None else f"{search_text(searched)}\n\n{summary}",
        document=_document(run, trained, searched),
    )


def _search(recipe: Recipe, trainings: Trainings) -> Searched:
    """Carry out the search of a recipe, a line a trial."""
    spec = recipe.search
    assert spec is not None
    return search(recipe, trainings, on_trial=lambda trial: say(trial_line(trial, spec.num_trials)))


def _stopped(recipe: Recipe, searched: SearchRecord | None) -> dict[str, Json]:
    """What is known when the budget ended the work."""
    return {
        "run": recipe.name,
        "complete": False,
        "search": None if searched is None else search_document(searched),
    }


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
        first = "before" if losses[0].step == 0 else f"at update {losses[0].step}"
        rows.append(("validation loss", f"{before:.3f} {first}, {kept.validation_loss:.3f} kept (nats a token)"))
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


def _document(run: Run, trained: bool, searched: SearchRecord | None) -> dict[str, Json]:
    return {
        "run": run.recipe.name,
        "complete": True,
        "search": None if searched is None else search_document(searched),
        "keys": [record.key for record in run.records],
        "trained": trained,
        "record": to_json(run.record),
    }
