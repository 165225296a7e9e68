"""The command line: one module a command, each imported when it is asked for."""

from slmcheck.cli.main import main

__all__ = ["main"]
