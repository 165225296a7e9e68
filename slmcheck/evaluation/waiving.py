"""A gate that is not met, as a report has it -> a committed waiver for that run."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from slmcheck.errors import InputError
from slmcheck.evaluation.naming import may_hold_recipes, project_root
from slmcheck.records import Report, VerdictRecord
from slmcheck.storage.git import who
from slmcheck.storage.waivers import FOLDER, Waiver, check_clock, parse_expiry, read_waiver, waiver_paths, write_waiver

_SHOWN = 8
_SHORTEST_REASON = 3


@dataclass(frozen=True, kw_only=True)
class Waived:
    """A waiver and where it lies."""

    path: Path
    waiver: Waiver
    verdicts: tuple[VerdictRecord, ...]
    """The claims it covers, as the report has them."""


def waive(
    gate: str,
    report: Report,
    *,
    reason: str,
    expires: str,
    by: str | None = None,
    root: Path | None = None,
    now: datetime.datetime | None = None,
) -> Waived:
    """Write a waiver of a gate that a session found not met, bound to the run that it judged.

    Args:
        gate: The test: its node id as the report has it, or a part that only one test has.
        report: The report of that session.
        reason: Why the run may be shipped all the same; kept and shown.
        expires: The last day it counts, `2026-12-01`.
        by: Who decides; None takes git's `user.name`.
        root: The project root; None takes that of the current folder.
        now: The time, with its zone; None asks the clock.

    Raises:
        InputError: If the gate does not exist, is met, ended in an error, or the reason is empty.
        DataError: If the day is none or in the past, or the clock is behind the report.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    root = root or project_root()
    check_clock(now, report.created, "the report")
    day = parse_expiry(expires, now)
    if len(reason.strip()) < _SHORTEST_REASON:
        raise InputError(
            f"The reason is '{reason.strip()}'.\nSay why the run may be shipped all the same: --reason TEXT"
        )
    test = find_gate(gate, report)
    false = _false_claims(test, report)
    first = false[0]
    if first.run_key is None:
        raise InputError(f"'{test}' judged no run that has a key, so a waiver could not be bound to it.")
    suite = (root / test.partition("::")[0]).parent
    if not (root / test.partition("::")[0]).is_file():
        raise InputError(
            f"'{test}' is in the report, but there is no {root / test.partition('::')[0]}.\n"
            "Call the command in the project whose session wrote the report."
        )
    waiver = Waiver(
        gate=f"{Path(test.partition('::')[0]).name}::{test.partition('::')[2]}",
        run=_run_name(first, report),
        run_key=first.run_key,
        claims=tuple(dict.fromkeys(verdict.claim for verdict in false)),
        reason=" ".join(reason.split()),
        expires=day,
        created=now.astimezone(datetime.UTC).isoformat(timespec="seconds"),
        by=(by or who(suite)).strip(),
    )
    return Waived(path=write_waiver(waiver, suite), waiver=waiver, verdicts=tuple(false))


def find_gate(gate: str, report: Report) -> str:
    """The one test of a report that a text names.

    Raises:
        InputError: If none has it, or several; lists the candidates.
    """
    tests = list(dict.fromkeys(verdict.test for verdict in report.verdicts if verdict.test is not None))
    tests += [outcome.test for outcome in report.outcomes if outcome.test not in tests]
    found = [test for test in tests if test == gate] or _ends(gate, tests) or [test for test in tests if gate in test]
    not_met = [test for test in found if test in _not_met(report)]
    found = not_met if len(not_met) == 1 else found
    if len(found) == 1 and gate.strip():
        return found[0]
    if found and gate.strip():
        raise InputError(f"'{gate}' names {len(found)} gates:\n{_listed(found)}\nGive one of them in full.")
    close = get_close_matches(gate, [*tests, *(_function(test) for test in tests)], n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise InputError(
        f"There is no gate '{gate}' in the report of {report.created or 'this session'}.{hint}\n"
        f"Gates that are not met:\n{_listed(_not_met(report))}"
    )


def waivers_of_project(root: Path, now: datetime.datetime) -> tuple[Waived, ...]:
    """Every waiver below a folder, by path.

    Raises:
        DataError: If one cannot be used.
    """
    found: list[Path] = []
    for folder in [root, *(path for path in sorted(root.rglob("*")) if path.is_dir() and path.name == FOLDER)]:
        if folder.name == FOLDER and all(map(may_hold_recipes, _between(root, folder.parent))):
            found += waiver_paths(folder.parent)
    return tuple(Waived(path=path, waiver=read_waiver(path, now), verdicts=()) for path in found)


def _between(root: Path, folder: Path) -> list[Path]:
    """The folders from below the root down to a folder."""
    return [path for path in [folder, *folder.parents] if path != root and path.is_relative_to(root)]


def _false_claims(test: str, report: Report) -> Sequence[VerdictRecord]:
    of_test = [verdict for verdict in report.verdicts if verdict.test == test]
    false = [verdict for verdict in of_test if not verdict.holds]
    if false:
        return false
    ends = [outcome for outcome in report.outcomes if outcome.test == test and outcome.outcome in ("failed", "error")]
    if ends:
        raise InputError(
            f"'{test}' did not end in a gate that is not met: {ends[0].message or ends[0].outcome}\n"
            "What could not be computed cannot be waived: mend it and run again."
        )
    words = ", ".join(dict.fromkeys(verdict.state for verdict in of_test)) or "not judged"
    raise InputError(f"'{test}' is met ({words}): there is nothing to waive.\nNot met:\n{_listed(_not_met(report))}")


def _run_name(verdict: VerdictRecord, report: Report) -> str:
    return next((run.name for run in report.runs if run.key == verdict.run_key), verdict.run)


def _not_met(report: Report) -> list[str]:
    return list(dict.fromkeys(verdict.test for verdict in report.verdicts if not verdict.holds and verdict.test))


def _ends(gate: str, tests: Sequence[str]) -> list[str]:
    return [test for test in tests if test.endswith(f"::{gate}") or _function(test) == gate]


def _function(test: str) -> str:
    return test.rpartition("::")[2].partition("[")[0]


def _listed(tests: Sequence[str]) -> str:
    if not tests:
        return "  none"
    more = f"\n  and {len(tests) - _SHOWN} more" if len(tests) > _SHOWN else ""
    return "\n".join(f"  {test}" for test in tests[:_SHOWN]) + more
