"""argparse with errors of our own: what is wrong, what was meant, where the help is."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from slmcheck.errors import InputError

WIDTH = 100


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of exiting, and never guesses at abbreviated options."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", _formatter)
        super().__init__(allow_abbrev=False, **settings)
        self.rest: str | None = None
        """What the arguments are called that are handed on as they are, as `namespace.rest`; None refuses them."""
        self.subcommands: argparse._SubParsersAction[Parser] | None = None

    def add_subcommands(self) -> argparse._SubParsersAction[Parser]:
        """Give the command commands of its own, one of which must be named."""
        self.subcommands = self.add_subparsers(
            title="commands", metavar="COMMAND", dest="subcommand", required=True, parser_class=Parser
        )
        return self.subcommands

    def leaves(self) -> list[Parser]:
        """The parsers that read arguments: those of the subcommands, or the parser itself."""
        return list(self.subcommands.choices.values()) if self.subcommands is not None else [self]

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The arguments as a namespace.

        Raises:
            InputError: If one is missing, unknown or no allowed value.
        """
        found, extra = self.parse_known_args(args, namespace)
        if self.rest is not None:
            found.rest = extra
        elif extra:
            self._refuse(extra)
        return found

    def error(self, message: str) -> NoReturn:
        """Report wrong usage.

        Raises:
            InputError: Always.
        """
        stop = "" if message.endswith("?") else "."
        raise InputError(f"{self.prog}: {message}{stop}\nUsage: {usage_of(self)}\nHelp: {self.prog} --help")

    def options(self) -> list[str]:
        """Every long option of the parser and its subcommands."""
        own = [text for text in self._option_string_actions if text.startswith("--")]
        inner = [] if self.subcommands is None else self.subcommands.choices.values()
        return own + [text for parser in inner for text in parser.options()]

    def arguments(self) -> Iterator[argparse.Action]:
        """Its positional arguments and options, in declared order, without help and subcommands."""
        for action in self._actions:
            if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
                yield action

    def _refuse(self, extra: Sequence[str]) -> NoReturn:
        unknown = next((text for text in extra if text.startswith("-")), extra[0])
        name = unknown.partition("=")[0]
        if not name.startswith("-"):
            self.error(f"unexpected argument '{unknown}'")
        close = get_close_matches(name, self.options(), n=1)
        self.error(f"unknown option '{name}'" + (f"; did you mean '{close[0]}'?" if close else ""))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = list(action.choices) if action.choices is not None else None
        if choices is None or value in choices:
            return
        close = get_close_matches(str(value), map(str, choices), n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise argparse.ArgumentError(action, f"'{value}' is none of {', '.join(map(str, choices))}{hint}")


def usage_of(parser: Parser) -> str:
    """One line: the command, its positional arguments, and that there are options."""
    parts = [parser.prog]
    if parser.subcommands is not None:
        parts.append(f"{{{','.join(parser.subcommands.choices)}}} ...")
    for action in parser.arguments():
        if not action.option_strings:
            parts.append(_positional(action))
    required = [action for action in parser.arguments() if action.option_strings and action.required]
    parts += [f"{action.option_strings[0]} {name_of(action)}" for action in required]
    return " ".join([*parts, *([f"[{parser.rest}]"] if parser.rest else []), "[options]"])


def name_of(action: argparse.Action) -> str:
    """What stands for the value of an argument in help texts."""
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return action.dest.upper()


def takes_value(action: argparse.Action) -> bool:
    """Whether an option is followed by a value."""
    return action.nargs != 0


def comma_separated(text: str) -> tuple[str, ...]:
    """The parts of a value such as `html,markdown`, for `type=`."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def flat(lists: Iterable[Iterable[str]] | None) -> tuple[str, ...]:
    """The values of an option that may be repeated and may list several, in order, each once."""
    return tuple(dict.fromkeys(value for values in lists or () for value in values))


def _positional(action: argparse.Action) -> str:
    name = name_of(action)
    if action.nargs in ("?", "*"):
        return f"[{name}{' ...' if action.nargs == '*' else ''}]"
    return f"{name} ..." if action.nargs in ("+", argparse.REMAINDER) else name


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, width=WIDTH, max_help_position=32)
