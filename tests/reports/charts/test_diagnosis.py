"""The charts of a diagnosis say their point in a sentence and hold their data as tables."""

from __future__ import annotations

import pytest

from slmcheck.records import (
    ConfusionRecord,
    CurvePoint,
    DivergenceRecord,
    Environment,
    HistoryPoint,
    LearningCurveRecord,
    ReliabilityBin,
    RunReport,
    ScoreRecord,
)
from slmcheck.reports.charts import diagnosis_figures, loss_curves, static_svg
from slmcheck.reports.compact import compact_pictures

RUN = RunReport(
    name="tone/lora",
    key="k",
    base_model="slmcheck/tiny",
    trainer="lora",
    task="classification",
    environment=Environment(),
    history=(
        HistoryPoint(step=0, validation_loss=2.0),
        HistoryPoint(step=10, train_loss=1.0, validation_loss=1.0),
        HistoryPoint(step=20, train_loss=0.5, validation_loss=1.2),
    ),
    best_step=20,
    confusion=ConfusionRecord(labels=("glad", "sad"), counts=((9, 1), (5, 5))),
    divergence=DivergenceRecord(step=10, lowest=1.0, last=1.2, rise=0.2, z=4.0),
    reliability=(
        ReliabilityBin(confidence=0.6, accuracy=0.5, low=0.2, high=0.8, n=10),
        ReliabilityBin(confidence=0.9, accuracy=0.9, low=0.6, high=1.0, n=10),
    ),
    found_slices=(
        ScoreRecord(metric="accuracy", value=0.9, low=0.6, high=1.0, n=10, unit="share", slice="label glad"),
        ScoreRecord(metric="accuracy", value=0.5, low=0.2, high=0.8, n=10, unit="share", slice="label sad"),
    ),
    learning_curve=LearningCurveRecord(
        metric="accuracy",
        unit="share",
        higher_is_better=True,
        points=(CurvePoint(fraction=0.5, rows=10, value=0.6), CurvePoint(fraction=1.0, rows=20, value=0.7)),
        gains=(),
        expected_gain=None,
        train_value=0.9,
        target=None,
        verdict="data-limited",
        summary="More rows help.",
    ),
)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (0, "'sad' is answered right least often: 5 of 10 rows."),
        (1, "The weakest is 'label sad' with 0.500."),
        (2, "Answers are 5.0 points surer than right; expected calibration error 0.050."),
    ],
)
def test_each_chart_says_its_point_and_is_drawn(place, message):
    figure = diagnosis_figures(RUN, "run")[place]
    assert figure.message == message
    assert len(figure.tables[0].rows) == 2
    assert static_svg(figure).startswith("<svg")


def test_the_divergence_point_is_marked_in_the_losses():
    figure = loss_curves(RUN, "run")
    assert figure is not None
    assert figure.message == (
        "The validation loss was lowest around step 10 with 1.000 and rose by 20% to 1.200 at step 20."
    )
    assert "diverges: step 10" in static_svg(figure)


def test_the_same_pictures_as_text():
    text = compact_pictures(RUN)
    assert "sad                              ██████████░░░░░░░░░░  50.0%  5 of 10" in text
    assert "sad taken for glad: 5 of 10" in text
    assert "at the end +20.0%, 4.0 standard errors" in text
    assert "More rows help." in text
