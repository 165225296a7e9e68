"""Hooks that other plugins may implement to listen to a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slmcheck.evaluation import Run
    from slmcheck.records import Report, VerdictRecord


def pytest_slmcheck_run_ready(run: Run) -> None:
    """A run was trained or found in the store; called once a process and recipe."""


def pytest_slmcheck_verdict(verdict: VerdictRecord) -> None:
    """A comparison was judged inside a test; called in the process that ran the test."""


def pytest_slmcheck_report(report: Report) -> None:
    """The report of the session is complete; called once, in the controller."""
