"""Numbers as readers see them."""

from __future__ import annotations

from typing import Any

import pytest

from slmcheck.gates import MetricInfo, Units
from slmcheck.gates.units import count, percent


def test_shares_are_told_in_points(make: Any) -> None:
    units = Units(make.accuracy)
    assert units.values(0.8461, 0.9) == ["0.846", "0.900"]
    assert units.changes(-0.0521, 0.003, 0.0) == ["-5.2", "+0.3", "0.0"]
    assert [units.with_unit(size) for size in (0.01, 0.02, 0.005)] == ["1 point", "2 points", "0.5 points"]


def test_ratios_are_told_in_percent(make: Any) -> None:
    units = Units(make.perplexity)
    assert units.values(12.3456) == ["12.35"]
    assert units.changes(0.0198026) == ["+2.0"]
    assert units.with_unit(0.0198026) == "2 %"


@pytest.mark.parametrize(
    ("unit", "value", "shown"),
    [("nats", 0.12345, "0.1235"), ("bytes", 12345678.0, "12,345,678"), ("points", 27.314, "27.31"), ("", 0.0, "0.000")],
)
def test_other_units(unit: Any, value: float, shown: str) -> None:
    assert Units(MetricInfo(name="m", unit=unit)).values(value) == [shown]


def test_numbers_that_differ_never_look_equal(make: Any) -> None:
    assert Units(make.accuracy).values(0.8996, 0.9) == ["0.8996", "0.9000"]
    assert Units(make.accuracy).sizes(0.01, 0.0104) == ["1.00", "1.04"]
    assert Units(make.accuracy).values(0.9, 0.9 + 1e-12) == ["0.900", "0.900"]


def test_minus_zero_is_zero(make: Any) -> None:
    assert Units(make.accuracy).changes(-0.00001) == ["0.0"]


@pytest.mark.parametrize(("number", "shown"), [(6181, "6,200"), (47, "47"), (7, "7"), (123456, "130,000")])
def test_estimated_numbers_of_examples_are_rounded_up_to_two_digits(number: float, shown: str) -> None:
    assert count(number) == shown


def test_percent() -> None:
    assert [percent(level) for level in (0.95, 0.9, 0.995)] == ["95 %", "90 %", "99.5 %"]
