"""`slmcheck init`: rows -> a recipe and a suite."""

from __future__ import annotations

import argparse
from pathlib import Path

from slmcheck.cli.output import Result, table
from slmcheck.cli.parsing import Parser
from slmcheck.errors import InputError
from slmcheck.evaluation.starting import ADAPTER_STEM, Started, run_name, start_suite
from slmcheck.evaluation.starting_foreign import start_from
from slmcheck.records import TASKS

EXAMPLES = """\
  slmcheck init tone --data rows.jsonl                           on the embedded base model
  slmcheck init tone --data train.csv --test test.csv            with test rows of your own
  slmcheck init tone --data rows.jsonl --model org/name          a model of a hub, pinned to its commit
  slmcheck init tone --from-adapter out/adapter --data rows.jsonl    a model that exists: nothing is trained
  slmcheck init tone --from-olive olive-config.yaml              a recipe of Olive, each change with a comment
  slmcheck init tone --from-olive "olive finetune ..."           the same from a command line"""


def add_arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="name of the suite: letters, digits, _ and -")
    parser.add_argument("--data", metavar="FILE", help="rows: JSONL, JSON, CSV, TSV, Parquet or a hub set")
    parser.add_argument("--test", metavar="FILE", help="rows for evaluation only (default: a fifth is set aside)")
    parser.add_argument(
        "--model", metavar="ID", help="base model: hub id or folder (default: slmcheck/tiny, or that of the adapter)"
    )
    parser.add_argument(
        "--from-adapter", metavar="DIR", help="gate a PEFT adapter that exists: --data are rows to evaluate it on"
    )
    parser.add_argument(
        "--from-olive",
        action="append",
        metavar="FILE|COMMAND",
        help="run config or command line of Olive, in place of --data; again: a part of one, which changes it",
    )
    parser.add_argument("--task", choices=TASKS, help="task, where the rows suggest another one")
    parser.add_argument("--directory", default="suites", metavar="DIR", help="folder of suites (default: suites)")


def execute(arguments: argparse.Namespace) -> Result:
    """Write recipe and suite, and say what to run next."""
    if arguments.from_olive:
        return _from_olive(arguments)
    if arguments.data is None:
        raise InputError(
            "slmcheck init: --data is missing: the rows that the suite is about.\n"
            "Usage: slmcheck init NAME --data FILE [options], or slmcheck init NAME --from-olive FILE|COMMAND\n"
            "Help: slmcheck init --help"
        )
    started = start_suite(
        arguments.name,
        arguments.data,
        test=arguments.test,
        model=arguments.model,
        adapter=arguments.from_adapter,
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


def _from_olive(arguments: argparse.Namespace) -> Result:
    """Write what Olive's file or command means."""
    for name in ("data", "from_adapter"):
        if getattr(arguments, name) is not None:
            raise InputError(
                f"slmcheck init: --{name.replace('_', '-')} does not go with --from-olive, which names the rows.\n"
                "Rows for evaluation are named with --test FILE."
            )
    written = start_from(
        "olive",
        arguments.name,
        arguments.from_olive,
        test=arguments.test,
        model=arguments.model,
        task=arguments.task,
        home=Path(arguments.directory),
    )
    facts = [("wrote", str(written.files[0])), ("", str(written.files[1])), ("task", written.task)]
    facts += [("note" if number == 0 else "", str(note)) for number, note in enumerate(written.notes)]
    return Result(
        text=f"{table(facts)}\n\nnext:\n{table(_steps(written.folder, written.files[0]))}",
        document={
            "folder": str(written.folder),
            "files": [str(path) for path in written.files],
            "run": written.run,
            "task": written.task,
            "notes": [{"key": note.key, "text": note.text} for note in written.notes],
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
    return f"{table(facts)}\n\nnext:\n{table(_steps(started.folder, started.files[0]))}"


def _steps(suite: Path, recipe: Path) -> list[tuple[str, str]]:
    """What to run next, and what it tells."""
    carry_out = "predict" if recipe.stem == ADAPTER_STEM else "train"
    return [
        (f"  slmcheck data check {recipe}", "what is wrong with the rows, one row as the model reads it"),
        (f"  slmcheck plan {recipe}", "memory, time, smallest visible drop"),
        (f"  pytest {suite} --slm-accept-baseline", f"{carry_out}, judge, accept the first scores"),
    ]
