"""What keeps a false gate from blocking: committed waivers, and the mark of a flaky test."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from slmcheck.errors import DataError
from slmcheck.pytest_plugin.options import SETTINGS
from slmcheck.pytest_plugin.recorder import EXEMPTED
from slmcheck.records import Exemption, VerdictRecord
from slmcheck.storage.waivers import FOLDER, Waiver, check_clock, read_waivers

MARK = "slm_quarantine"
_EXPECTED = '@pytest.mark.slm_quarantine(until="2026-12-01", owner="Ann")'
_WAIVERS = pytest.StashKey[dict[Path, tuple[Waiver, ...]]]()


def check_exemptions(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Refuse a session whose waivers or quarantines cannot be trusted, before anything is trained.

    Raises:
        pytest.UsageError: Naming every problem.
    """
    problems: dict[str, None] = {}
    is_release = config.stash[SETTINGS].gate == "release"
    for item in items:
        try:
            _waivers_beside(item)
            quarantine_of(item)
        except DataError as error:
            problems[str(error)] = None
        if is_release and _is_marked(item, MARK) and _is_marked(item, "slm_primary"):
            problems[
                f"{item.nodeid} is marked slm_primary and slm_quarantine: a gate that decides a release cannot be in "
                "quarantine.\nRemove one of the marks, or decide for one run: slmcheck waive GATE"
            ] = None
    if problems:
        raise pytest.UsageError("\n".join(problems))


def exemptions_of(item: pytest.Item, made: str) -> tuple[Exemption, ...]:
    """What keeps false claims of a test from blocking today; nothing where the clock cannot be right.

    Args:
        item: The test.
        made: When the run was trained; ISO 8601, empty where it is not known.
    """
    now = _now()
    if _clock_problem(made):
        return ()
    found = [waiver.exemption() for waiver in waivers_of(item) if not waiver.is_expired(now)]
    quarantine = quarantine_of(item)
    if quarantine is not None and not _is_over(quarantine, now):
        found.append(quarantine)
    return tuple(found)


def waivers_of(item: pytest.Item) -> tuple[Waiver, ...]:
    """The waivers of a test, expired ones included."""
    gate = gate_of(item.nodeid)
    return tuple(waiver for waiver in _waivers_beside(item) if waiver.gate == gate)


def gate_of(node_id: str) -> str:
    """A test as its waiver names it: from the name of its file on, wherever pytest's root is."""
    file, separator, rest = node_id.partition("::")
    return f"{file.rpartition('/')[2]}{separator}{rest}"


def quarantine_of(item: pytest.Item) -> Exemption | None:
    """The quarantine of a test, over or not; None where it has no mark.

    Raises:
        DataError: If the mark lacks a day or an owner.
    """
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return None
    until, owner = mark.kwargs.get("until"), mark.kwargs.get("owner")
    unknown = sorted(set(mark.kwargs) - {"until", "owner"})
    if mark.args or unknown or not isinstance(owner, str) or not owner.strip() or until is None:
        raise DataError(
            f"The mark {MARK} of {item.nodeid} needs until= and owner=, both by name.\nExpected: {_EXPECTED}"
        )
    text = until.isoformat() if isinstance(until, datetime.date) else str(until)
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        raise DataError(
            f"The mark {MARK} of {item.nodeid} has until={until!r}, which is no day.\nExpected: {_EXPECTED}"
        ) from None
    return Exemption(kind="quarantined", until=day.isoformat(), by=owner.strip())


def expired_quarantine(item: pytest.Item) -> str | None:
    """What is to be said of a quarantine that is over; None where there is none."""
    found = quarantine_of(item)
    if found is None or not _is_over(found, _now()):
        return None
    return (
        f"The quarantine of {item.nodeid} ended on {found.until}; its owner is {found.by}.\n"
        f"Mend the test and remove the mark {MARK}, or give it a later day."
    )


def noted(item: pytest.Item, verdict: VerdictRecord, made: str) -> VerdictRecord:
    """A verdict with what is to be said of waivers and quarantines of its test that do not count.

    Args:
        item: The test.
        verdict: One of its verdicts.
        made: When the run was trained; ISO 8601, empty where it is not known.
    """
    if verdict.holds or verdict.exemption is not None:
        return verdict
    now, wrong = _now(), _clock_problem(made)
    if wrong and (waivers_of(item) or quarantine_of(item) is not None):
        return _with_notes(verdict, wrong.splitlines())
    return _with_notes(verdict, [_why_not(waiver, verdict, now) for waiver in waivers_of(item)])


def settle(item: pytest.Item, report: pytest.TestReport, verdicts: Sequence[VerdictRecord], error: object) -> None:
    """Turn the report of a test whose false claims are all exempted into one that neither blocks nor is green."""
    exempted = [verdict for verdict in verdicts if verdict.exemption is not None]
    blocking = [verdict for verdict in verdicts if not verdict.holds and verdict.exemption is None]
    if blocking or report.skipped:
        return
    found = exempted[0].exemption if exempted else None
    if report.failed:
        quarantine = quarantine_of(item)
        in_quarantine = quarantine is not None and not _is_over(quarantine, _now())
        # A finding is no comparison: its assert fails although its verdict is exempted.
        is_finding = bool(exempted) and all(verdict.kind == "finding" for verdict in exempted)
        if not isinstance(error, AssertionError) or not (in_quarantine or is_finding):
            return
        found = found or quarantine
    if found is not None:
        report.outcome = "skipped"
        # pytest's own word for "failed, and it was known": JUnit writers read it as well.
        report.wasxfail = found.sentence.replace(found.kind, found.kind.upper(), 1)
        report.user_properties.append((EXEMPTED, found.kind))


def _why_not(waiver: Waiver, verdict: VerdictRecord, now: datetime.datetime) -> str:
    if waiver.is_expired(now):
        return f"a waiver of this gate by {waiver.by} expired on {waiver.expires}"
    if waiver.run_key != verdict.run_key:
        key = (verdict.run_key or "none")[:12]
        return f"a waiver of this gate by {waiver.by} is for run {waiver.run_key[:12]}; this is run {key}"
    return f"a waiver of this gate by {waiver.by} is for another claim: {'; '.join(waiver.claims)}"


def _clock_problem(made: str) -> str:
    """Why the clock of this machine cannot be right; empty where it may be."""
    try:
        check_clock(_now(), made, "the run")
    except DataError as error:
        return str(error)
    return ""


def _with_notes(verdict: VerdictRecord, notes: Sequence[str]) -> VerdictRecord:
    return replace(verdict, notes=(*verdict.notes, *notes), lines=(*verdict.lines, *notes)) if notes else verdict


def _waivers_beside(item: pytest.Item) -> tuple[Waiver, ...]:
    suite = item.path.parent
    known = item.config.stash.setdefault(_WAIVERS, {})
    if suite not in known:
        known[suite] = read_waivers(suite, _now()) if (suite / FOLDER).is_dir() else ()
    return known[suite]


def _is_over(quarantine: Exemption, now: datetime.datetime) -> bool:
    return now.date() > datetime.date.fromisoformat(quarantine.until)


def _is_marked(item: pytest.Item, name: str) -> bool:
    return item.get_closest_marker(name) is not None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
