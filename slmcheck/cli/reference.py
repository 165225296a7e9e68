"""The page docs/reference/command-line.md, from the parsers.

Write it anew with: python -m slmcheck.cli.reference > docs/reference/command-line.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from slmcheck.cli.commands import COMMANDS, command_of, parser_of
from slmcheck.cli.main import TRACEBACK_VARIABLE
from slmcheck.cli.parsing import Parser, name_of, takes_value, usage_of

_INTRODUCTION = f"""# Command line

<!-- Made by `python -m slmcheck.cli.reference`; a test keeps it true. -->

`slmcheck COMMAND [options]`. Every command takes `--json` (one JSON object on standard output, and nothing else) and
`--traceback` (where an error was raised; `{TRACEBACK_VARIABLE}=1` does the same).

A **RUN** is a recipe file, a name (`suite/recipe`, or `recipe` where it is unique), or the first four or more digits of
the key of a stored run. The project, whose `.slmcheck` holds store and reports, is pytest's rootdir for the same paths.
Only `train`, `run` and `demo` train; the other commands name the command that trains what they lack.

**Exit status**: `run` and `demo` give pytest's own. Others: 0 done, 1 a gate or check is false, 2 wrong usage or input,
3 the work failed (training killed, out of memory, disk full, export failed); 130 interrupted.
"""
_COMMON = frozenset({"--json", "--traceback"})


def reference_page() -> str:
    """The page as Markdown."""
    return "\n".join([_INTRODUCTION, *(_command(name) for name in COMMANDS)])


def _command(name: str) -> str:
    parser, command = parser_of(name), command_of(name)
    parts = [f"## slmcheck {name}\n", f"{COMMANDS[name].capitalize()}.\n"]
    leaves = parser.leaves()
    for leaf in leaves:
        if leaf is not parser:
            parts.append(f"### {leaf.prog}\n\n{leaf.description}\n")
        parts.append(f"```\n{usage_of(leaf)}\n```\n")
        rows = [row for action in leaf.arguments() for row in _rows(action)]
        if rows:
            parts.append("\n".join(["| argument | meaning |", "| --- | --- |", *rows]) + "\n")
    parts.append(f"Examples:\n\n```\n{_outdented(command.EXAMPLES)}\n```\n")
    return "\n".join(parts)


def _rows(action: argparse.Action) -> Iterator[str]:
    if _COMMON.intersection(action.option_strings):
        return
    value = f" {name_of(action)}" if takes_value(action) else ""
    names = ", ".join(f"`{text}{value}`" for text in action.option_strings) or f"`{name_of(action)}`"
    cells = [cell.replace("|", "\\|") for cell in (names, action.help or "")]
    yield f"| {cells[0]} | {cells[1]} |"


def _outdented(text: str) -> str:
    return "\n".join(line.removeprefix("  ") for line in text.split("\n"))


def parsers() -> Iterator[Parser]:
    """Every parser that reads arguments."""
    for name in COMMANDS:
        yield from parser_of(name).leaves()


if __name__ == "__main__":
    sys.stdout.write(reference_page())
