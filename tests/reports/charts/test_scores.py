from __future__ import annotations

from dataclasses import replace

from slmcheck.records import Report
from slmcheck.reports.charts import gap_intervals, slice_scores


def test_a_gap_is_shown_with_the_base_models_own(report: Report) -> None:
    accuracy, loss = gap_intervals(report.runs[0], "a")
    assert accuracy.message == (
        "accuracy is 0.934 on training rows and 0.846 on evaluation rows: a gap of +8.8 points,"
        " where the base model has +0.4 points."
    )
    assert accuracy.tables[0].rows == (
        ("this run", "+8.8 points", "+5.1 .. +12.4 points"),
        ("base model", "+0.4 points", "–"),
        ("beyond the base model", "+8.4 points", "+4.6 .. +12.1 points"),
    )
    assert loss.title == "Overfitting gap in loss"


def test_a_gap_without_a_base_model_has_one_row(report: Report) -> None:
    gap = replace(report.runs[0].gaps[0], base_gap=None, beyond_base=None)
    (figure,) = gap_intervals(replace(report.runs[0], gaps=(gap,)), "a")
    assert [row[0] for row in figure.tables[0].rows] == ["this run"]


def test_slices_are_ordered_by_score_and_the_weakest_is_named(report: Report) -> None:
    (figure,) = slice_scores(report.runs[0], "a")
    assert figure.message == "The weakest slice in accuracy is 'chat' with 0.792; all rows together have 0.846."
    assert [row[0] for row in figure.tables[0].rows] == ["all rows", "chat", "short", "long", "review"]


def test_the_weakest_slice_of_a_loss_is_the_highest(report: Report) -> None:
    scores = tuple(
        replace(score, metric="loss", higher_is_better=False, unit="nats")
        for score in report.runs[0].scores
        if score.slice
    )
    (figure,) = slice_scores(replace(report.runs[0], scores=scores), "a")
    assert figure.message == "The weakest slice in loss is 'review' with 0.889."


def test_without_slices_there_is_no_chart(report: Report) -> None:
    assert slice_scores(report.runs[1], "a") == ()
