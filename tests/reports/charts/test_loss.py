from __future__ import annotations

from dataclasses import replace

from slmcheck.records import HistoryPoint, Report
from slmcheck.reports.charts import loss_curves


def test_the_message_names_the_best_step_and_what_came_after(report: Report) -> None:
    figure = loss_curves(report.runs[0], "a")
    assert figure is not None
    assert figure.message == "The validation loss was lowest at step 220 with 0.531, and 0.670 at step 390."


def test_a_loss_that_fell_to_the_end_says_so(report: Report) -> None:
    figure = loss_curves(report.runs[1], "a")
    assert figure is not None
    assert figure.message == "The validation loss fell until the last step, 390, to 1.633."


def test_the_table_has_every_point_and_dashes_for_what_is_missing(report: Report) -> None:
    figure = loss_curves(report.runs[0], "a")
    assert figure is not None
    assert len(figure.tables[0].rows) == 40
    assert figure.tables[0].rows[0] == ("0", "–", "2.2700", "2.3100")


def test_without_losses_there_is_no_chart(report: Report) -> None:
    assert loss_curves(replace(report.runs[0], history=()), "a") is None
    assert loss_curves(replace(report.runs[0], history=(HistoryPoint(step=1),)), "a") is None


def test_a_training_without_validation_is_still_drawn(report: Report) -> None:
    points = (HistoryPoint(step=1, train_loss=2.0), HistoryPoint(step=2, train_loss=1.0))
    figure = loss_curves(replace(report.runs[0], history=points, best_step=None), "a")
    assert figure is not None
    assert figure.message == "The training recorded no validation loss."
