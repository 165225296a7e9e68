"""Texts of the command line."""

from __future__ import annotations

import pytest

from slmcheck.cli.output import duration, megabytes, table
from slmcheck.cli.progress import ProgressLine
from slmcheck.records import DataSpec, Recipe
from slmcheck.training import TrainingProgress

RECIPE = Recipe(name="tone/lora", base_model="slmcheck/tiny", task="classification", trainer="lora", data=DataSpec())


def test_columns_are_aligned() -> None:
    assert table([("a", "1"), ("bb", "22")], header=("x", "number"), right=[1]) == (
        "x   number\na        1\nbb      22"
    )


def test_no_rows_give_no_text() -> None:
    assert table([]) == ""


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1_500, "1.5 kB"), (2_000_000, "2 MB"), (12**10, "61.9 GB")]
)
def test_sizes(size: int, text: str) -> None:
    assert megabytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.26, "1.3 s"), (59, "59 s"), (61, "1 min 01 s"), (3_725, "1 h 02 min")]
)
def test_times(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_shows_steps_losses_and_remaining_time_and_ends_its_line() -> None:
    written: list[str] = []
    clock = iter([0.0, 0.0, 0.05, 1.0, 1.0, 1.1, 1.1])
    line = ProgressLine(written.append, 80, lambda: next(clock))
    for point in (
        TrainingProgress(step=0, validation_loss=3.0, total_steps=20),
        TrainingProgress(step=1, train_loss=2.9, total_steps=20, seconds=1.0),
        TrainingProgress(step=10, train_loss=2.0, total_steps=20, seconds=10.0),
        TrainingProgress(step=20, validation_loss=1.5, total_steps=20, seconds=20.0),
    ):
        line(RECIPE, point)
    assert [text.strip() for text in written] == [
        "training tone/lora: step 0/20, validation 3.000",
        "training tone/lora: step 10/20, validation 3.000, loss 2.000, 10 s left",
        "training tone/lora: step 20/20, validation 1.500, loss 2.000",
    ]
    assert written[-1].endswith("\n")
