from __future__ import annotations

from dataclasses import replace

from slmcheck.records import Report
from slmcheck.reports.charts import trend


def test_this_run_stands_at_the_end_of_the_releases(report: Report) -> None:
    (figure,) = trend(report.runs[0], "a")
    assert [row[0] for row in figure.tables[0].rows] == ["release-1.2", "release-1.3", "release-1.4", "this run"]
    assert figure.message == (
        "accuracy was 0.871 in release-1.2 and is 0.846 in this run; the last change is −5.2 points."
    )


def test_a_metric_that_the_run_has_not_shows_the_past_only(report: Report) -> None:
    (figure,) = trend(replace(report.runs[0], scores=()), "a")
    assert figure.tables[0].rows[-1][0] == "release-1.4"


def test_without_releases_there_is_no_chart(report: Report) -> None:
    assert trend(report.runs[1], "a") == ()
