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
EXAMPLES = "slm.examples"
"""Says that the suite hides its examples."""
EXEMPTED = "slm.exempted"
_ENDS = {"passed": "passed", "inconclusive": "passed", "failed": "failed", "skipped": "skipped", "errors": "error"}
_ENDS |= {"waived": "waived", "quarantined": "quarantined"}


class Recorder:
    """Registered in the controller; builds the report at the end of a session that judged runs."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.outcomes: Counter[str] = Counter()
        self.ends: list[dict[str, str | int | None]] = []
        """How every test that used a run ended, as the fields of an `OutcomeRecord`."""
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
        properties = dict(report.user_properties)
        if not counted:
            return
        outcome = str(properties.get(EXEMPTED) or _outcome(report, INCONCLUSIVE in properties))
        self.outcomes[outcome] += 1
        if RUN in properties or outcome == "errors":
            end = {
                "test": report.nodeid,
                "outcome": _ENDS[outcome],
                "message": _reason(report, hidden=EXAMPLES in properties),
            }
            self.ends.append({**end, **_place(report)})
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


def _reason(report: pytest.TestReport, *, hidden: bool) -> str:
    """The first line of why a test did not pass."""
    if report.passed:
        return ""
    if hasattr(report, "wasxfail"):
        return str(report.wasxfail).partition("\n")[0]
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr or "")
    line = text.strip().partition("\n")[0]
    if hidden:
        from slmcheck.records.disclosure import Disclosure, unquoted

        line = unquoted(line, Disclosure(level="redacted"))
    return line


def _place(report: pytest.TestReport) -> dict[str, str | int | None]:
    """The line of the test's own file that failed, else where the test begins; nothing of a test that passed."""
    if report.passed or (report.skipped and not hasattr(report, "wasxfail")):
        return {}
    file, line, _ = report.location
    own = (line or 0) + 1
    for entry in getattr(getattr(report.longrepr, "reprtraceback", None), "reprentries", ()):
        place = getattr(entry, "reprfileloc", None)
        # pytest shows paths relative to the folder it was called in, which need not be its root.
        if place is not None and place.path.rpartition("/")[2] == file.rpartition("/")[2]:
            own = place.lineno
    return {"file": file.replace("\\", "/"), "line": own}


def _outcome(report: pytest.TestReport, inconclusive: bool) -> str:
    if report.when == "setup":
        return "skipped" if report.skipped else "errors"
    if report.passed:
        return "inconclusive" if inconclusive else "passed"
    return "skipped" if report.skipped else "failed"
