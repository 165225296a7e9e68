from __future__ import annotations

import dataclasses

from slmcheck.records import Environment, RunReport, ScoreRecord, TrendPoint
from slmcheck.reports.releases import trend_lines


def run(*values: float, now: float | None = 0.87) -> RunReport:
    points = tuple(
        TrendPoint(label=f"v{index}", metric="accuracy", value=value, unit="share")
        for index, value in enumerate(values)
    )
    scores = (ScoreRecord(metric="accuracy", value=now, unit="share"),) if now is not None else ()
    return RunReport(
        name="tone/lora", key="ab", base_model="slmcheck/tiny", trainer="lora", task="classification",
        environment=Environment(), trend=points, scores=scores,
    )  # fmt: skip


def test_releases_are_told_oldest_first_with_the_change_since_then() -> None:
    assert trend_lines(run(0.84, 0.86)) == ("accuracy 0.840 (v0), 0.860 (v1), 0.870 now: +3.0 points since v0",)


def test_many_releases_are_the_first_and_the_last() -> None:
    [line] = trend_lines(run(*(0.80 + index / 100 for index in range(9))))
    assert line.startswith("accuracy 0.800 (v0), …, 0.850 (v5), ")


def test_a_metric_that_was_not_measured_now_has_no_change() -> None:
    assert trend_lines(run(0.84, now=None)) == ("accuracy 0.840 (v0)",)


def test_without_releases_nothing_is_told() -> None:
    assert trend_lines(dataclasses.replace(run(0.84), trend=())) == ()
