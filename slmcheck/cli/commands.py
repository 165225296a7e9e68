"""The commands by name; each is the module `slmcheck.cli.<name>`, imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Protocol, cast

from slmcheck.cli.output import Result
from slmcheck.cli.parsing import Parser, usage_of
from slmcheck.errors import InputError

COMMANDS: Mapping[str, str] = {
    "demo": "fine-tune the shipped base model, gate it, show the report",
    "init": "write a recipe and a suite for rows of your own",
    "run": "run suites with pytest and write the report",
    "plan": "what a suite can see and what a recipe costs, before training",
    "train": "fine-tune one recipe, or find its run in the store",
    "evaluate": "score a model, a run or saved predictions on data",
    "diagnose": "say why a run overfits or performs poorly, and what to change",
    "compare": "compare two runs, baselines or files of saved predictions",
    "parity": "export a run to ONNX and measure how far it agrees",
    "export": "write the folder to deploy: ONNX model, tokenizer, runner, self-check",
    "together": "load adapters of one base model side by side and look for interference",
    "baseline": "accept, show or compare the committed scores of a run",
    "waive": "let a gate that is not met pass for one run, for a while and with a reason",
    "comment": "write a report to its pull request on GitHub, one comment that is kept up to date",
    "data": "check recipe and rows before training",
    "report": "render a report again: html, markdown, json, card, annotations, bundle, terminal",
    "verify": "check a bundle: every digest, every score and verdict",
    "cache": "look after the store: why, gc, verify, export, import, push, pull, key",
}
"""Name and one line of help, in the order of a first visit."""


class Command(Protocol):
    """What the module of a command offers."""

    EXAMPLES: str
    """Command lines with a comment each, shown at the end of its help."""

    def add_arguments(self, parser: Parser) -> None:
        """Declare positional arguments and options."""
        ...

    def execute(self, arguments: argparse.Namespace) -> Result:
        """Do the work."""
        ...


def command_of(name: str) -> Command:
    """The command of a name.

    Raises:
        InputError: If there is none.
    """
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, n=1)
        raise InputError(
            f"Unknown command '{name}'.\n"
            f"Commands: {', '.join(COMMANDS)}.{f' Did you mean {close[0]!r}?' if close else ''}\n"
            "What they do: slmcheck --help"
        )
    return cast("Command", importlib.import_module(f"slmcheck.cli.{name}"))


def parser_of(name: str) -> Parser:
    """The parser of a command, with the options that every command has."""
    command = command_of(name)
    parser = Parser(
        prog=f"slmcheck {name}", description=f"{COMMANDS[name].capitalize()}.", epilog=f"examples:\n{command.EXAMPLES}"
    )
    command.add_arguments(parser)
    for leaf in parser.leaves():
        leaf.usage = usage_of(leaf)
        leaf.add_argument("--json", action="store_true", help="one JSON object on standard output, and nothing else")
        leaf.add_argument("--traceback", action="store_true", help="show where an error was raised")
    return parser
