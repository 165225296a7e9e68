from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from slmcheck.records import Report
from slmcheck.reports.charts import verdict_intervals
from slmcheck.reports.prepared import prepare


def rows(report: Report) -> list[tuple[str, ...]]:
    return [row for figure in verdict_intervals(report) for row in figure.tables[0].rows]


def test_shares_and_points_have_a_chart_in_points_others_one_in_per_cent(report: Report) -> None:
    points, relative = verdict_intervals(prepare(report))
    assert (len(points.tables[0].rows), len(relative.tables[0].rows)) == (9, 2)
    assert points.message == (
        "2 of 9 gates lie on the wrong side of what is required; where an interval crosses the line,"
        " the examples cannot tell."
    )
    assert relative.message.startswith("No gate lies on the wrong side")


def test_a_level_is_measured_from_its_threshold(report: Report) -> None:
    assert rows(replace(report, verdicts=report.verdicts[:1]))[0][1:] == ("pass", "+4.60", "+1.10 .. +7.60")


def test_a_comparison_is_measured_from_its_margin(report: Report) -> None:
    assert rows(replace(report, verdicts=report.verdicts[1:2]))[0][1:] == ("fail", "-4.20", "-6.80 .. -1.60")


def test_better_is_to_the_right_for_a_metric_where_lower_is_better(report: Report) -> None:
    perplexity = report.verdicts[9]
    (row,) = rows(replace(report, verdicts=(perplexity,)))
    assert row[2:] == ("+3.24", "+1.86 .. +4.62")


def test_an_improvement_is_measured_from_what_was_asked(report: Report) -> None:
    asked = replace(report.verdicts[3], kind="better_by", margin=0.5)
    assert rows(replace(report, verdicts=(asked,)))[0][2] == "+7.10"


@pytest.mark.parametrize(
    "changes",
    [{"target": None}, {"kind": "finding"}, {"kind": "equivalent"}, {"kind": "exact", "target_name": "fp32"}],
)
def test_what_has_no_criterion_on_an_axis_is_left_to_the_table(report: Report, changes: dict[str, object]) -> None:
    verdict = replace(report.verdicts[1], **changes)  # type: ignore[arg-type]
    assert verdict_intervals(replace(report, verdicts=(verdict,))) == ()


def test_a_criterion_of_zero_has_no_per_cent(report: Report) -> None:
    verdict = replace(report.verdicts[0], unit="count", target=0.0)
    assert verdict_intervals(replace(report, verdicts=(verdict,))) == ()


def test_an_interval_without_end_is_left_out(report: Report) -> None:
    verdict = replace(report.verdicts[0], high=math.inf)
    (figure,) = verdict_intervals(replace(report, verdicts=(verdict,)))
    assert figure.tables[0].rows[0][2:] == ("+4.60", "–")
    json.dumps(figure.spec, allow_nan=False)
