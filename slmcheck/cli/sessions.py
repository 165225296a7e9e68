"""A pytest session in this process, and the report that it made. A leaf module: it imports pytest."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from slmcheck.evaluation.library import REPORTS
from slmcheck.records import Report


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a pytest session left."""

    status: int
    """pytest's exit status."""
    report: Report | None
    """None where no test used a run."""
    folder: Path | None
    """Where its report.json lies."""


class _Listener:
    """Takes note of the project root and of the report; registered with the session as a plugin."""

    def __init__(self) -> None:
        self.root: Path | None = None
        self.report: Report | None = None

    def pytest_configure(self, config: pytest.Config) -> None:
        self.root = config.rootpath

    @pytest.hookimpl(optionalhook=True)
    def pytest_slmcheck_report(self, report: Report) -> None:
        self.report = report


def run_pytest(arguments: Sequence[str], *, folder: Path | None = None, quiet_stdout: bool = False) -> Session:
    """Run pytest in this process.

    Args:
        arguments: Its command line.
        folder: The current folder of the session; None stays where we are.
        quiet_stdout: Whether everything it prints goes to standard error.
    """
    listener = _Listener()
    redirected = contextlib.redirect_stdout(sys.stderr) if quiet_stdout else contextlib.nullcontext()
    with _working_in(folder), redirected:
        status = int(pytest.main(list(arguments), plugins=[listener]))
    written = listener.root / REPORTS / "latest" if listener.root is not None else None
    found = None if listener.report is None or written is None else written.resolve()
    return Session(status=status, report=listener.report, folder=found)


@contextlib.contextmanager
def _working_in(folder: Path | None) -> Iterator[None]:
    if folder is None:
        yield
        return
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def shortest(path: Path) -> Path:
    """A path as a person would type it: relative where it lies below the current folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
