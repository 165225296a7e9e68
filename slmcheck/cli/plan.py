"""`slmcheck plan`: what an evaluation split can see and what a training costs, before it starts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from slmcheck.cli.options import workspace_of
from slmcheck.cli.output import Result, duration, megabytes, table
from slmcheck.cli.parsing import Parser
from slmcheck.evaluation.library import plan
from slmcheck.evaluation.planning import RecipePlan
from slmcheck.gates import Plan, Units
from slmcheck.records import Json

EXAMPLES = """\
  slmcheck plan suites/phrase_tone/lora.yaml      rows, smallest visible drop, memory, time
  slmcheck plan phrase_tone/lora --margin 0.02    with another margin
  slmcheck plan suites                            a table of every recipe"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", metavar="PATH", help="a recipe (file or name), or a folder of suites")
    parser.add_argument(
        "--margin",
        type=float,
        metavar="X",
        help="how much worse a score may be (default: what the suite says, else the metric's own)",
    )


def execute(arguments: argparse.Namespace) -> Result:
    """Plan one recipe in full, several as a table."""
    workspace = workspace_of(
        arguments, [arguments.path], folders=[arguments.path] if Path(arguments.path).is_dir() else []
    )
    plans = plan(arguments.path, margin=arguments.margin, workspace=workspace)
    text = _one(plans[0]) if len(plans) == 1 else _several(plans)
    return Result(text=text, document={"recipes": [_document(item) for item in plans]})


def _one(item: RecipePlan) -> str:
    rows = ", ".join(f"{count:,} {split}" for split, count in item.rows.items())
    facts = [("rows", f"{rows}; scores are of {item.evaluated}")]
    if item.steps:
        facts.append(("training", f"{item.steps:,} updates, about {item.tokens:,} tokens{_stored(item)}"))
    else:
        facts.append(("training", f"none: the model exists already{_stored(item)}"))
    if item.cost is not None:
        took = item.measured.seconds if item.measured is not None else None
        off = "" if took is None else f"; it took {duration(took)}, {took / item.cost.seconds:.1f} times as long"
        facts.append(("time", f"about {duration(item.cost.seconds)} ({item.cost.basis}){off}"))
    if item.memory is not None:
        peak = item.measured.peak_memory_bytes if item.measured is not None else None
        off = "" if peak is None else f"; it took {megabytes(peak)}, {peak / item.memory.total_bytes:.1f} times as much"
        facts.append(("memory", f"about {megabytes(item.memory.total_bytes)}; {_free(item)} should be free{off}"))
    elif item.steps:
        facts.append(("memory", "not known: the base model is not on this machine"))
    parts = [f"{item.recipe.name}: {item.recipe.trainer} on {item.recipe.base_model}", table(facts)]
    if item.checks:
        parts.append(table([_check_row(check) for check in item.checks], header=_HEADER))
    advice = [check.advice for check in item.checks if check.advice]
    return "\n\n".join([*parts, *(["\n".join(advice)] if advice else [])])


_HEADER = ("metric", "n", "smallest visible drop", "margin", "released if unchanged", "provable margin")


def _free(item: RecipePlan) -> str:
    assert item.memory is not None
    return megabytes(item.memory.required_bytes)


def _stored(item: RecipePlan) -> str:
    return "; the store has the run already" if item.stored else ""


def _check_row(check: Plan) -> tuple[str, ...]:
    units = Units(check.metric)
    drop, provable = units.sizes(check.smallest_visible_drop, check.provable_margin)
    return (
        check.metric.name + ("" if check.assumed else " (measured)"),
        f"{check.examples:,}",
        drop + units.unit,
        units.with_unit(check.margin),
        f"{100.0 * check.release_probability:.0f} %",
        provable + units.unit,
    )


def _several(plans: Sequence[RecipePlan]) -> str:
    rows = []
    for item in plans:
        memory = megabytes(item.memory.total_bytes) if item.memory is not None else "?"
        cost = "stored" if item.stored else duration(item.cost.seconds) if item.cost is not None else "?"
        check = _check_row(item.checks[0]) if item.checks else ("-",) * len(_HEADER)
        rows.append((item.recipe.name, cost, memory, *check))
    return table(rows, header=("recipe", "time", "memory", *_HEADER))


def _document(item: RecipePlan) -> Json:
    return {
        "recipe": item.recipe.name,
        "rows": {str(split): count for split, count in item.rows.items()},
        "evaluated": item.evaluated,
        "steps": item.steps,
        "tokens": item.tokens,
        "stored": item.stored,
        "seconds": item.cost.seconds if item.cost is not None else None,
        "basis": item.cost.basis if item.cost is not None else None,
        "memory_bytes": item.memory.total_bytes if item.memory is not None else None,
        "measured_seconds": item.measured.seconds if item.measured is not None else None,
        "measured_memory_bytes": item.measured.peak_memory_bytes if item.measured is not None else None,
        "checks": [
            {
                "metric": check.metric.name,
                "n": check.examples,
                "margin": check.margin,
                "smallest_visible_drop": check.smallest_visible_drop,
                "release_probability": check.release_probability,
                "provable_margin": check.provable_margin,
                "examples_needed": check.examples_needed,
                "assumed": check.assumed,
            }
            for check in item.checks
        ],
    }
