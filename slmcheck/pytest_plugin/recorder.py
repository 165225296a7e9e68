"""The controller's memory of a session: outcomes of tests, verdicts and runs, from this process or from workers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from slmcheck.records import Report

VERDICT = "slm.verdict"
INCONCLUSIVE = "slm.inconclusive"
RUN = "slm.run"
PLAN = "slm.plan"
_ENDS = {"passed": "passed", "inconclusive": "passed", "failed": "failed", "skipped": "skipped", "errors": "error"}


class Recorder:
    """Registered in the controller; builds the report at the end of a session that judged runs."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.outcomes: Counter[str] = Counter()
        self.ends: list[tuple[str, str, str]] = []
        """Node id, outcome and first line of the reason of every test that used a run."""
        self.verdicts: list[tuple[str, str]] = []
        """Node id and the verdict as JSON, in order of arrival."""
        self.runs: dict[str, str] = {}
        """Path of the recipe of every run that was judged, and its key."""
        self.plan: dict[str, None] = {}
        self.report: Report | None = None
        self.written: list[str] = []
        """Lines that the summary adds to the report."""
        self.folder: Path | None = None
        """Where the report was written."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what the report of a test carries."""
        counted = report.when == "call" or (report.when == "setup" and not report.passed)
        properties = dict.fromkeys(name for name, _ in report.user_properties)
        if not counted:
            return
        outcome = _outcome(report, INCONCLUSIVE in properties)
        self.outcomes[outcome] += 1
        if RUN in properties or outcome == "errors":
            self.ends.append((report.nodeid, _ENDS[outcome], _reason(report)))
        for name, value in report.user_properties:
            if name == VERDICT:
                self.verdicts.append((report.nodeid, str(value)))
            elif name == RUN:
                path, _, key = str(value).rpartition("#")
                self.runs[path] = key
            elif name == PLAN:
                self.plan[str(value)] = None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Build and write the report."""
        if self.verdicts or self.runs:
            from slmcheck.pytest_plugin.summary import finish

            finish(self)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the report."""
        if self.report is not None and not getattr(self.config.option, "no_summary", False):
            from slmcheck.pytest_plugin.summary import write

            write(terminalreporter, self)


def _reason(report: pytest.TestReport) -> str:
    """The first line of why a test did not pass."""
    if report.passed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr or "")
    return text.strip().partition("\n")[0]


def _outcome(report: pytest.TestReport, inconclusive: bool) -> str:
    if report.when == "setup":
        return "skipped" if report.skipped else "errors"
    if report.passed:
        return "inconclusive" if inconclusive else "passed"
    return "skipped" if report.skipped else "failed"
