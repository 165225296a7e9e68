"""Loaded by every interpreter of a session under test: notes each training process, forbids what the test forbids.

SLMCHECK_WITNESS            a folder: a training process leaves a file with its process id as the name
SLMCHECK_FORBIDDEN          names of modules, with commas between: importing one is an ImportError
SLMCHECK_FORBIDDEN_NETWORK  set: connecting anywhere is an OSError
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path


class Forbidden:
    """A finder that refuses some modules; first on the meta path, so that it is asked before any other."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Refuse a forbidden module; leave all others to the finders behind."""
        if name.partition(".")[0] in self.names:
            raise ImportError(f"{name} is not installed here")
        return None


def refuse(*arguments: object, **keywords: object) -> None:
    """Stand in for connecting."""
    raise OSError("there is no network here")


if (folder := os.environ.get("SLMCHECK_WITNESS")) and "slmcheck.training.child" in sys.orig_argv:
    (Path(folder) / str(os.getpid())).touch()
if names := os.environ.get("SLMCHECK_FORBIDDEN"):
    sys.meta_path.insert(0, Forbidden(names.split(",")))  # type: ignore[arg-type]
if os.environ.get("SLMCHECK_FORBIDDEN_NETWORK"):
    socket.socket.connect = refuse  # type: ignore[assignment,method-assign]
    socket.getaddrinfo = refuse  # type: ignore[assignment]
