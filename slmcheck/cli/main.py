"""The entry point: one command is imported and executed, errors become messages and exit statuses."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from slmcheck import __version__
from slmcheck.cli.commands import COMMANDS, command_of, parser_of
from slmcheck.cli.output import Result, emit, emit_document, say, table
from slmcheck.errors import InputError, SlmcheckError

TRACEBACK_VARIABLE = "SLMCHECK_TRACEBACK"
INTERRUPTED = 130
BROKEN_PIPE = 141
FAILED = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; gives its exit status.

    0 done, 1 a gate or check is false, 2 wrong usage or input, 3 the work failed; `run` and `demo` give pytest's own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _guarded(arguments)
    except BrokenPipeError:
        # Whoever read our output has gone; closing the real one at exit would complain a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE


def _guarded(arguments: list[str]) -> int:
    wants_traceback = "--traceback" in arguments or os.environ.get(TRACEBACK_VARIABLE, "") not in ("", "0")
    wants_json = "--json" in arguments
    try:
        result = _executed(arguments)
        emit_document(result.document) if wants_json else _emit_text(result)
    except SlmcheckError as error:
        if wants_traceback:
            say("".join(traceback.format_exception(error)).rstrip())
        else:
            say(str(error))
        return _failed(str(error), type(error).__name__, error.exit_status, wants_json)
    except KeyboardInterrupt:
        say("\nInterrupted. Finished work is in the store; an unfinished training resumes where it was.")
        return _failed("Interrupted.", "KeyboardInterrupt", INTERRUPTED, wants_json)
    except BrokenPipeError:
        raise
    except SystemExit as exit_:
        # argparse ends so after it has printed a help text.
        return exit_.code if isinstance(exit_.code, int) else 0
    except Exception as error:
        say("".join(traceback.format_exception(error)).rstrip())
        say(f"This is a mistake of slmcheck {__version__}, not of yours: please report it with the lines above.")
        return _failed(str(error), type(error).__name__, FAILED, wants_json)
    return result.status


def _executed(arguments: list[str]) -> Result:
    own = [argument for argument in arguments if argument not in ("--json", "--traceback")]
    if not own or own[0] in ("-h", "--help", "help"):
        return Result(text=help_text(), document={"commands": dict(COMMANDS)}, status=0 if own else 2)
    if own[0] in ("-V", "--version"):
        return Result(text=f"slmcheck {__version__}", document={"version": __version__})
    if own[0].startswith("-"):
        raise InputError(
            f"Unknown option '{own[0]}' before the command.\nOptions follow it: slmcheck COMMAND [options]"
        )
    name = own[0]
    command = command_of(name)
    rest = list(arguments)
    rest.remove(name)
    return command.execute(parser_of(name).parse_args(rest))


def help_text() -> str:
    """What `slmcheck --help` prints."""
    listed = table([(f"  {name}", text) for name, text in COMMANDS.items()])
    return (
        "usage: slmcheck COMMAND [options]\n\n"
        "Fine-tune small language models as pytest fixtures, gate their releases, and say why they fail.\n\n"
        f"commands:\n{listed}\n\n"
        "options:\n"
        "  --help      this text; of one command: slmcheck COMMAND --help\n"
        "  --version   the version of slmcheck\n"
        "  --json      one JSON object on standard output, and nothing else; every command takes it\n"
        f"  --traceback where an error was raised; {TRACEBACK_VARIABLE}=1 does the same\n\n"
        "examples:\n"
        "  slmcheck demo                                  see it work in a few minutes\n"
        "  slmcheck init tone --data rows.jsonl           start a suite of your own\n"
        "  slmcheck run suites --slm-gate=release         judge a release\n"
        "  slmcheck compare tone/old tone/new             which answers changed\n\n"
        "A RUN is a recipe file, a name (suite/recipe, or recipe where it is unique) or the start of a run key.\n"
        "Exit status: 0 done, 1 a gate or check is false, 2 wrong usage or input, 3 the work failed."
    )


def _emit_text(result: Result) -> None:
    if result.text:
        emit(result.text)


def _failed(message: str, kind: str, status: int, wants_json: bool) -> int:
    if wants_json:
        emit_document({"error": {"kind": kind, "message": message}, "exit_status": status})
    return status
