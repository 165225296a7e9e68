"""A report as workflow commands of GitHub Actions: an annotation on the line of each assert that is not met.

`::error file=suites/tone/test_tone.py,line=12,title=...::message`, one a line. Values are escaped as the runner asks
for, so that nothing a model wrote can end a command or begin another.
"""

from __future__ import annotations

from slmcheck.records import OutcomeRecord, Report, VerdictRecord
from slmcheck.reports.prepared import prepare
from slmcheck.reports.text import counted, visible

SHOWN = 10
"""GitHub shows ten errors and ten warnings of a step."""
_MESSAGE_CHARACTERS = 2_000
_LEVELS = {"failed": "error", "error": "error", "waived": "warning", "quarantined": "warning"}


def render(report: Report, prefix: str = "") -> str:
    """One command a line: errors for what blocks, warnings for what is waived or in quarantine; empty where all passed.

    Args:
        report: The report of a session.
        prefix: Path from the top of the repository to pytest's root, with `/` at its end; empty where they are one.
    """
    report = prepare(report)
    lines: list[str] = []
    for level in ("error", "warning"):
        found = [outcome for outcome in report.outcomes if _LEVELS.get(outcome.outcome) == level]
        shown = found if len(found) <= SHOWN else found[: SHOWN - 1]
        lines += [_command(level, outcome, _verdicts(report, outcome), prefix) for outcome in shown]
        if len(found) > len(shown):
            more = counted(len(found) - len(shown), "more test")
            lines.append(f"::{level} title=slmcheck::{_data(f'{more} in the report of this job')}")
    return "\n".join(lines) + "\n" if lines else ""


def _verdicts(report: Report, outcome: OutcomeRecord) -> list[VerdictRecord]:
    return [verdict for verdict in report.verdicts if verdict.test == outcome.test and not verdict.holds]


def _command(level: str, outcome: OutcomeRecord, verdicts: list[VerdictRecord], prefix: str) -> str:
    name = outcome.test.rpartition("::")[2]
    word = "" if level == "error" else f" ({outcome.outcome.upper()})"
    lines = [line for verdict in verdicts for line in (verdict.claim, *(f"  {text}" for text in verdict.lines))]
    message = "\n".join(lines) or outcome.message or outcome.outcome
    place = []
    if outcome.file:
        place.append(f"file={_property(prefix + outcome.file)}")
        place += [f"line={outcome.line}"] if outcome.line is not None else []
    place.append(f"title={_property(f'slmcheck: {name}{word}')}")
    return f"::{level} {','.join(place)}::{_data(message[:_MESSAGE_CHARACTERS])}"


def _data(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
