"""`slmcheck init`: rows -> a recipe and a suite."""

from __future__ import annotations

import argparse
from pathlib import Path

from slmcheck.cli.output import Result, table
from slmcheck.cli.parsing import Parser
from slmcheck.evaluation.starting import Started, run_name, start_suite
from slmcheck.records import TASKS

EXAMPLES = """\
  slmcheck init tone --data rows.jsonl                           on the embedded base model
  slmcheck init tone --data train.csv --test test.csv            with test rows of your own
  slmcheck init tone --data rows.jsonl --model org/name          a model of a hub, pinned to its commit"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="name of the suite: letters, digits, _ and -")
    parser.add_argument(
        "--data", required=True, metavar="FILE", help="rows: JSONL, JSON, CSV, TSV, Parquet or a hub set"
    )
    parser.add_argument("--test", metavar="FILE", help="rows for evaluation only (default: a fifth is set aside)")
    parser.add_argument(
        "--model", default="slmcheck/tiny", metavar="ID", help="base model: hub id or folder (default: slmcheck/tiny)"
    )
    parser.add_argument("--task", choices=TASKS, help="task, where the rows suggest another one")
    parser.add_argument("--directory", default="suites", metavar="DIR", help="folder of suites (default: suites)")


def execute(arguments: argparse.Namespace) -> Result:
    """Write recipe and suite, and say what to run next."""
    started = start_suite(
        arguments.name,
        arguments.data,
        test=arguments.test,
        model=arguments.model,
        task=arguments.task,
        home=Path(arguments.directory),
    )
    return Result(
        text=_text(started),
        document={
            "folder": str(started.folder),
            "files": [str(path) for path in started.files],
            "run": run_name(started),
            "task": started.task,
            "rows": dict(started.rows),
            "primary": started.primary,
            "majority": started.majority,
            "margin": started.margin,
        },
    )


def _text(started: Started) -> str:
    rows = ", ".join(f"{count:,} {split}" for split, count in started.rows.items())
    facts = [("wrote", str(started.files[0]))] + [("", str(path)) for path in started.files[1:]]
    facts += [("task", started.task), ("rows", rows)]
    facts += [("why" if number == 0 else "", reason) for number, reason in enumerate(started.reasons)]
    if started.majority is not None:
        facts.append(("to beat", f"{started.primary} {started.majority:.3f}, what the most frequent answer reaches"))
    facts.append(("margin", f"{started.primary} may be {started.margin:g} worse than an accepted baseline"))
    suite, recipe = started.folder, started.files[0]
    steps = [
        (f"  slmcheck data check {recipe}", "what is wrong with the rows, one row as the model reads it"),
        (f"  slmcheck plan {recipe}", "memory, time, smallest visible drop"),
        (f"  pytest {suite} --slm-accept-baseline", "train, judge, accept the first scores"),
    ]
    return f"{table(facts)}\n\nnext:\n{table(steps)}"
