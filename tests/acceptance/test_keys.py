"""What a change makes happen again: training, predicting, measuring, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.project import Project, predicted_rows, scores_of
from tests.mood import write_tests

OFFLINE_MISS = "The store has no run of recipe 'mood/lora', and this session is offline."
ALL_SCORES = """
def test_level(run):
    assert run.accuracy >= 0.0


def test_slice(run):
    assert run.slice("early").accuracy >= 0.0
"""


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that is there exactly once or more, the first time."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("lora.yaml", "learning_rate: 3.0e-3", "learning_rate: 2.0e-3", "recipe.learning_rate: 0.003 -> 0.002"),
        ("lora.yaml", "{r: 4}", "{r: 8}", "options.r: 4 -> 8"),
        ("lora.yaml", "Mood: {mood}", "Feeling: {mood}", "data.text_template: "),
        ("train.jsonl", "what a lovely day, day 1", "what a lovely day, day one", "train[10]: "),
        ("train.jsonl", '0", "mood": "glad"', '0", "mood": "sad"', "train[0]: "),
        ("validation.jsonl", "i am so happy", "i am quite happy", "validation[1]: "),
    ],
    ids=["recipe field", "option", "template", "training row", "training label", "validation row"],
)
def test_what_decides_the_weights_is_trained_again_and_named(
    mood: Project, file: str, old: str, new: str, named: str
) -> None:
    key = mood.runs()[0].key
    edit(mood.root / "mood" / file, old, new)
    missed = mood.slmcheck("train", "mood/lora", "--offline")
    assert (missed.status, missed.err.splitlines()[0]) == (2, OFFLINE_MISS)
    assert mood.slmcheck("cache", "why", "mood/lora").out.startswith(named)
    assert mood.slmcheck("cache", "why", key, "mood/lora").out.startswith(named)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("lora.yaml", "options: {r: 4}", "options: {r: 4, lora_dropout: 0.0}\nlogging_steps: 3\ntimeout_minutes: 5"),
        ("lora.yaml", "learning_rate: 3.0e-3\nmax_steps: 8", "max_steps: 8\nlearning_rate: 0.003  # the same"),
        ("train.jsonl", '{"text": "what a lovely day, day 0"', '{"text":  "what a lovely day, day 0", "note": 1'),
    ],
    ids=["display fields", "order and spelling", "a field that the template does not use"],
)
def test_what_decides_no_weights_does_nothing_again(mood: Project, file: str, old: str, new: str) -> None:
    before = predicted_rows(mood), scores_of(mood)
    edit(mood.root / "mood" / file, old, new)
    ran = mood.without_model_libraries.pytest("--slm-offline", "mood")
    assert ran.status == 0, ran.text
    assert (predicted_rows(mood), scores_of(mood), mood.trainings) == (*before, 0)


def relabel(project: Project) -> None:
    edit(project.root / "mood" / "test.jsonl", '"mood": "glad"', '"mood": "sad"')


def reslice(project: Project) -> None:
    edit(project.root / "mood" / "lora.yaml", "note [01]", "note [12]")


def lose_rows(project: Project) -> None:
    path = project.root / "mood" / "test.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))


@pytest.mark.parametrize(
    ("change", "measured"), [(relabel, 2), (reslice, 1), (lose_rows, 1)], ids=["label", "slice", "fewer rows"]
)
def test_labels_slices_and_lost_rows_only_measure_again(
    mood: Project, change: Callable[[Project], None], measured: int
) -> None:
    before = predicted_rows(mood), scores_of(mood)
    change(mood)
    write_tests(mood.root, ALL_SCORES)
    ran = mood.without_model_libraries.pytest("--slm-offline", "mood")
    assert ran.status == 0, ran.text
    assert (predicted_rows(mood), scores_of(mood), mood.trainings) == (before[0], before[1] + measured, 0)


def test_added_rows_are_the_only_ones_that_are_predicted(mood: Project) -> None:
    before = predicted_rows(mood)
    with (mood.root / "mood" / "test.jsonl").open("a") as file:
        for number in range(7):
            file.write(json.dumps({"text": f"a new row, number {number}", "mood": "glad"}) + "\n")
    offline = mood.pytest("--slm-offline", "mood")
    assert "The store lacks predictions for 7 of 37 examples" in offline.out
    ran = mood.pytest("mood")
    assert ran.status == 0, ran.text
    assert predicted_rows(mood) == before + 2 * 7  # of the run, and of its base model, which stands beside its score
    assert mood.trainings == 0
    assert mood.report()["verdicts"][0]["n"] == 37


def test_a_changed_training_row_trains_once_more_and_keeps_the_old_run(mood: Project) -> None:
    edit(mood.root / "mood" / "train.jsonl", "what a lovely day, day 0", "what a dreadful day, day 0")
    write_tests(mood.root, "def test_history(run):\n    assert run.history[-1].step == 8\n")
    assert mood.pytest("mood").status == 0
    assert mood.pytest("mood").status == 0
    assert mood.trainings == 1
    assert len(mood.runs()) == 2
    edit(mood.root / "mood" / "train.jsonl", "what a dreadful day, day 0", "what a lovely day, day 0")
    assert mood.pytest("--slm-offline", "mood").status == 0


def test_a_slice_that_is_the_whole_split_does_not_stand_for_it_in_a_baseline(mood: Project) -> None:
    edit(mood.root / "mood" / "lora.yaml", "note [01]", "note")
    write_tests(mood.root, "def test_both(run):\n    assert run.slice('early').f1 >= 0.0\n    assert run.f1 >= 0.0\n")
    assert mood.pytest("--slm-offline", "--slm-accept-baseline", "mood").status == 0
    header = json.loads((mood.root / "mood" / "baselines" / "lora.json").read_text())
    assert "f1" in {score["metric"] for score in header["scores"] if score["split"] == "test"}
