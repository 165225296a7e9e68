from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest

from slmcheck.errors import DataError
from slmcheck.storage.waivers import (
    Waiver,
    check_clock,
    moment_of,
    parse_expiry,
    read_waivers,
    waiver_paths,
    write_waiver,
)

NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC)
WAIVER = Waiver(
    gate="test_tone.py::test_it[run=lora]",
    run="tone/lora",
    run_key="ab" * 32,
    claims=("lora.accuracy >= 0.85",),
    reason='known "Grüße" \u2028 <b>',
    expires="2026-12-01",
    created="2026-11-24T11:00:00+00:00",
    by="Ann",
)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "test_tone.py").write_text("class TestTone:\n    def test_it(self, run): ...\n")
    return tmp_path


def test_a_waiver_reads_back(suite: Path) -> None:
    path = write_waiver(WAIVER, suite)
    assert path.name == "test_it-lora-abababababab.json"
    assert read_waivers(suite, NOW) == (WAIVER,)


def test_waivers_of_other_runs_are_files_of_their_own(suite: Path) -> None:
    write_waiver(WAIVER, suite)
    write_waiver(dataclasses.replace(WAIVER, run_key="cd" * 32), suite)
    write_waiver(dataclasses.replace(WAIVER, reason="another one"), suite)
    assert len(waiver_paths(suite)) == 2


def test_the_last_day_counts(suite: Path) -> None:
    end = datetime.datetime(2026, 12, 1, 23, 59, tzinfo=datetime.UTC)
    assert not WAIVER.is_expired(end)
    assert WAIVER.is_expired(end + datetime.timedelta(minutes=2))


def test_every_problem_of_a_folder_is_told_at_once(suite: Path) -> None:
    write_waiver(WAIVER, suite)
    for name in ("a", "b"):
        (suite / "waivers" / f"{name}.json").write_text("{")
    with pytest.raises(DataError, match=r"(?s)a\.json.*b\.json"):
        read_waivers(suite, NOW)


@pytest.mark.parametrize(("text", "expected"), [("2026-11-24", "2026-11-24"), ("20261130", "2026-11-30")])
def test_a_day_to_come_is_taken(text: str, expected: str) -> None:
    assert parse_expiry(text, NOW) == expected


@pytest.mark.parametrize("text", ["2026-11-23", "tomorrow", "2026-11-31", "", "2030-01-01", "2026-12-01T10:00"])
def test_another_day_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        parse_expiry(text, NOW)


def test_a_clock_may_differ_by_an_hour_and_not_by_two() -> None:
    check_clock(NOW, "2026-11-24T12:59:00+00:00", "it")
    check_clock(NOW, "", "it")
    with pytest.raises(DataError, match="clock of this machine says 2026-11-24 12:00 UTC, but it was made at"):
        check_clock(NOW, "2026-11-24T14:00:00+00:00", "it")


def test_times_with_and_without_a_zone_are_utc() -> None:
    assert moment_of("2026-11-24T12:00:00") == NOW
    assert moment_of("2026-11-24T13:00:00+01:00") == NOW
    assert moment_of("soon") is None
