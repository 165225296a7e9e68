"""Waivers: committed decisions to ship one run although a gate is not met.

`waivers/<test>-<recipe>-<run key>.json` beside the test file, one file a waiver, so that git merges the waivers of
several people. A waiver counts for one run key until its last day; it never changes what a gate measured, and no
baseline moves by it.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slmcheck.errors import DataError, StoreError
from slmcheck.records import Exemption, from_json, to_json
from slmcheck.storage.baseline_lines import refuse_conflict
from slmcheck.storage.files import disk_errors, write_whole

FOLDER = "waivers"
WAIVER_SCHEMA = 1
LONGEST_DAYS = 366
CLOCK_TOLERANCE = datetime.timedelta(hours=1)
"""How far the clocks of two machines may differ."""
_UNSAFE = re.compile(r"[^A-Za-z0-9_.]+")


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """One decision to let a false gate pass for one run."""

    schema: int = WAIVER_SCHEMA
    gate: str
    """The test, from its file on: `test_tone.py::test_f1[run=lora]`."""
    run: str
    """Name of the run."""
    run_key: str
    """The run that was looked at; a run of another key is not waived."""
    claims: tuple[str, ...]
    """The claims of the test that were false."""
    reason: str
    expires: str
    """The last day it counts, in UTC: `2026-12-01`."""
    created: str
    """UTC, ISO 8601."""
    by: str
    """Who waived the gate."""

    def exemption(self) -> Exemption:
        """What a verdict is told of it."""
        return Exemption(
            kind="waived",
            until=self.expires,
            reason=self.reason,
            by=self.by,
            run_key=self.run_key,
            claims=self.claims,
        )

    def is_expired(self, now: datetime.datetime) -> bool:
        """Whether its last day is over."""
        return now.date() > datetime.date.fromisoformat(self.expires)


def write_waiver(waiver: Waiver, suite: Path) -> Path:
    """Write a waiver beside the test file of its gate; another one of the same gate and run is replaced.

    Raises:
        StoreError: If the disk refuses.
    """
    function = waiver.gate.rpartition("::")[2].partition("[")[0]
    stem = waiver.run.rpartition("/")[2]
    name = "-".join(_UNSAFE.sub("_", part) for part in (function, stem, waiver.run_key[:12])) + ".json"
    folder = suite / FOLDER
    text = json.dumps(to_json(waiver), indent=2, ensure_ascii=False) + "\n"
    with disk_errors(folder, f"writing the waiver of {waiver.gate}"):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, text.encode("utf-8", errors="surrogatepass"), scratch=folder)
    return folder / name


def waiver_paths(suite: Path) -> tuple[Path, ...]:
    """The files of a suite's waivers, sorted."""
    return tuple(sorted((suite / FOLDER).glob("*.json")))


def read_waivers(suite: Path, now: datetime.datetime) -> tuple[Waiver, ...]:
    """Every waiver beside the test files of a folder, expired ones included.

    Args:
        suite: The folder of the test files.
        now: The time, with its zone.

    Raises:
        DataError: If one is damaged, holds a merge conflict, is of a newer slmcheck, of a gate that does not exist, or
            was written later than the clock of this machine says it is; lists every problem.
    """
    found, problems = [], []
    for path in waiver_paths(suite):
        try:
            found.append(read_waiver(path, now))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return tuple(found)


def read_waiver(path: Path, now: datetime.datetime) -> Waiver:
    """One waiver, checked; see `read_waivers`.

    Raises:
        DataError: As `read_waivers`.
    """
    content = path.read_bytes()
    refuse_conflict(path, content, "Keep one of the two waivers, or waive again: slmcheck waive GATE")
    try:
        value = json.loads(content)
    except ValueError as error:
        raise DataError(f"{path}: the waiver is no JSON: {error}.\n{_remedy(path)}") from error
    schema = value.get("schema") if isinstance(value, Mapping) else None
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise DataError(f"{path} is no waiver: it has no schema number.\n{_remedy(path)}")
    if schema > WAIVER_SCHEMA:
        raise DataError(
            f"{path} has schema {schema}; this slmcheck reads up to {WAIVER_SCHEMA}.\n"
            "It was written by a newer slmcheck: upgrade to read it."
        )
    try:
        waiver = from_json(Waiver, value)
    except StoreError as error:
        raise DataError(f"{path} is damaged: {error}\n{_remedy(path)}") from error
    _check(waiver, path, now)
    return waiver


def parse_expiry(text: str, now: datetime.datetime) -> str:
    """The last day of a new waiver, checked.

    Raises:
        DataError: If it is no day, lies in the past or too far ahead.
    """
    example = (now + datetime.timedelta(days=14)).date().isoformat()
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        raise DataError(f"'{text}' is no day.\nExpected year, month and day, as in --expires {example}.") from None
    today = now.date()
    if day < today:
        raise DataError(f"'{text}' lies in the past: today is {today} (UTC).\nGive a day to come: --expires {example}")
    if (day - today).days > LONGEST_DAYS:
        raise DataError(
            f"'{text}' is {(day - today).days} days ahead; a waiver lasts {LONGEST_DAYS} days at most.\n"
            "What shall hold for longer is another threshold or an accepted baseline: change the test, or "
            "slmcheck baseline accept RUN --accept-regression REASON"
        )
    return day.isoformat()


def check_clock(now: datetime.datetime, written: str, what: str) -> None:
    """Refuse to judge dates by a clock that is behind something that was written already.

    Args:
        now: What the clock says, with its zone.
        written: When the thing was made; ISO 8601, empty where it is not known.
        what: What the thing is, as the subject of a sentence.

    Raises:
        DataError: If the clock is behind by more than an hour.
    """
    made = moment_of(written)
    if made is not None and now + CLOCK_TOLERANCE < made:
        raise DataError(
            f"The clock of this machine says {now:%Y-%m-%d %H:%M} UTC, but {what} was made at {made:%Y-%m-%d %H:%M}.\n"
            "Whether something has expired cannot be told by a wrong clock: set it, and run again."
        )


def moment_of(text: str) -> datetime.datetime | None:
    """A time of ISO 8601 in UTC; None where the text is none."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=datetime.UTC) if found.tzinfo is None else found.astimezone(datetime.UTC)


def _check(waiver: Waiver, path: Path, now: datetime.datetime) -> None:
    try:
        datetime.date.fromisoformat(waiver.expires)
    except ValueError:
        raise DataError(f"{path}: expires is '{waiver.expires}', which is no day.\n{_remedy(path)}") from None
    if moment_of(waiver.created) is None:
        raise DataError(f"{path}: created is '{waiver.created}', which is no time.\n{_remedy(path)}")
    for name in ("gate", "run", "run_key", "reason", "by"):
        if not getattr(waiver, name).strip():
            raise DataError(f"{path}: '{name}' is empty.\n{_remedy(path)}")
    if not waiver.claims:
        raise DataError(f"{path}: 'claims' is empty, so it waives nothing.\n{_remedy(path)}")
    check_clock(now, waiver.created, f"the waiver {path.name}")
    _check_gate(waiver, path)


def _check_gate(waiver: Waiver, path: Path) -> None:
    """The test file is read as text: what a session deselected exists all the same."""
    file, _, rest = waiver.gate.partition("::")
    test = path.parent.parent / file
    function = rest.rpartition("::")[2].partition("[")[0]
    if not test.is_file():
        raise DataError(f"{path} waives '{waiver.gate}', but there is no {test}.\nDelete it: git rm '{path}'")
    source = test.read_text(encoding="utf-8", errors="replace")
    if re.search(rf"\bdef\s+{re.escape(function)}\b", source) is None:
        raise DataError(
            f"{path} waives '{waiver.gate}', but {test.name} has no test '{function}'.\n"
            f"Delete it: git rm '{path}', or waive the gate under its new name."
        )


def _remedy(path: Path) -> str:
    return f"Restore it (git checkout -- '{path}'), or delete it and waive again: slmcheck waive GATE"
