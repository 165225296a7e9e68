from __future__ import annotations

import math

import pytest

from slmcheck.reports import units


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0.8461, "share", "0.846"),
        (31.237, "points", "31.2"),
        (6.4312, "ratio", "6.431"),
        (88.412, "ratio", "88.41"),
        (31_237.4, "ratio", "31,237"),
        (0.4821, "nats", "0.482"),
        (-0.4821, "nats", "−0.482"),
        (3.1e-5, "", "3.1e−05"),
        (0.0, "", "0"),
        (1234.0, "count", "1,234"),
        (3_412_992, "bytes", "3.4 MB"),
        (12.31, "milliseconds", "12.3 ms"),
        (math.inf, "ratio", "∞"),
    ],
)
def test_values_have_the_precision_of_their_unit(number: float, unit: str, text: str) -> None:
    assert units.value(number, unit) == text


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (-0.052, "share", "−5.2 points"),
        (0.0, "share", "0.0 points"),
        (-0.0001, "share", "0.0 points"),
        (0.64, "points", "+0.6 points"),
        (-0.081, "ratio", "−0.081"),
        (0.0, "ratio", "0.000"),
        (12.34, "ratio", "+12.3"),
        (2_000_000, "bytes", "+2.0 MB"),
    ],
)
def test_changes_have_a_sign_and_shares_change_in_points(number: float, unit: str, text: str) -> None:
    assert units.change(number, unit) == text


def test_margins_are_as_short_as_they_can_be() -> None:
    assert units.distance(0.01, "share") == "1 point"
    assert units.distance(0.010000000000000009, "share") == "1 point"
    assert units.distance(0.005, "share") == "0.5 points"
    assert units.distance(0.5, "points") == "0.5 points"
    assert units.distance(0.13, "ratio") == "0.13"


def test_intervals_say_what_is_missing() -> None:
    assert units.interval(0.811, 0.876, "share") == "0.811 .. 0.876"
    assert units.interval(None, None, "share") == "–"
    assert units.interval(0.811, None, "share") == "0.811 .. ∞"
    assert units.change_interval(-0.078, -0.026, "share") == "−7.8 .. −2.6 points"
    assert units.change_interval(-0.17, 0.01, "ratio") == "−0.170 .. +0.010"


def test_sizes_and_durations_read_well() -> None:
    assert units.size(999) == "999 bytes"
    assert units.size(1_480_000_000) == "1.5 GB"
    assert units.duration(3.25) == "3.2 s"
    assert units.duration(161.3) == "2 min 41 s"
    assert units.duration(12_000) == "3 h 20 min"
