"""A file of saved predictions as a run: sessions end in order, also where the file or the recipe lacks something."""

from __future__ import annotations

import json

import pytest

RECIPE = """\
base_model: slmcheck/tiny
trainer: pretrained
task: classification
data: {test: rows.jsonl, text_template: "Text: {text}\\nMood: {mood}", answer: mood, id: id}
options: {predictions: answers.jsonl}
"""
ROWS = [{"id": str(number), "text": f"note {number}", "mood": ("glad", "sad")[number % 2]} for number in range(20)]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A suite of twenty rows; each test writes the answers."""
    suite = pytester.mkdir("mood")
    (suite / "saved.yaml").write_text(RECIPE)
    (suite / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (suite / "test_mood.py").write_text("def test_accuracy(run):\n    assert run.accuracy >= 0.9\n")
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider\n")
    return pytester


def write_answers(project: pytest.Pytester, count: int) -> None:
    answers = [{"id": row["id"], "prediction": row["mood"], "reference": row["mood"]} for row in ROWS[:count]]
    (project.path / "mood" / "answers.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))


def test_a_run_without_training_rows_is_reported(project: pytest.Pytester) -> None:
    write_answers(project, len(ROWS))
    result = project.runpytest_subprocess("mood")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*pass*accuracy*1.000*", "report: .slmcheck/reports/*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_a_file_that_lacks_a_row_is_one_failure_and_the_session_ends_in_order(project: pytest.Pytester) -> None:
    write_answers(project, len(ROWS) - 1)
    result = project.runpytest_subprocess("mood")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*has no prediction for 1 of 20 examples.*", "report: .slmcheck/reports/*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_a_comparison_of_two_metrics_shows_the_line_of_the_test_only(project: pytest.Pytester) -> None:
    write_answers(project, len(ROWS))
    (project.path / "mood" / "test_mood.py").write_text("def test_mixed(run):\n    assert run.accuracy >= run.f1\n")
    result = project.runpytest_subprocess("mood")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["> * assert run.accuracy >= run.f1", "E *MixedScoresError: saved.accuracy and saved.f1 cannot be compared: *"]
    )
    frames = [line for line in result.outlines if ": MixedScoresError" in line or line.endswith(": in test_mixed")]
    assert [line.partition(":")[0] for line in frames if not line.startswith("E ")] == ["mood/test_mood.py"]
    assert "slmcheck/gates" not in result.stdout.str()
