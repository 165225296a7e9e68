"""The diagnosis of a run: kept in the store, gated in a suite, written as a recipe."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import slmcheck
from slmcheck import gates, recipes
from slmcheck.errors import InputError
from slmcheck.evaluation.description import describe
from slmcheck.evaluation.diagnosing import Problems, diagnosis_of, stored_diagnosis
from slmcheck.evaluation.fixing import patch_of, write_recipe
from slmcheck.evaluation.trivial import trivial_predictions
from slmcheck.records import Finding
from tests.evaluation.conftest import ROWS, TONES, write_rows

PROBLEM = Finding(
    cause="overfitting",
    severity="problem",
    summary="The model overfits.",
    remedy="Fewer epochs.",
    recipe_patch={"learning_rate": 1e-4, "data.max_length": 64, "options.predictions": "other.jsonl"},
)


def test_a_run_with_few_mistakes_has_no_problem(suite: Path) -> None:
    assert slmcheck.diagnose("tone/old").problems == ()


def test_answers_that_know_no_more_than_the_majority_are_a_problem(suite: Path) -> None:
    always = [{"id": f"test{n}", "prediction": "glad", "reference": TONES[n % 3]} for n in range(ROWS)]
    write_rows(suite / "old.jsonl", always)
    found = slmcheck.diagnose("tone/old")
    assert [finding.cause for finding in found.problems] == ["majority-collapse"]
    assert "no-better-than-trivial" in {finding.cause for finding in found.all}


def test_a_diagnosis_is_read_from_the_store_without_scikit_learn(suite: Path) -> None:
    run = slmcheck.open_run("tone/old")
    first = diagnosis_of(run)
    program = (
        "import sys, slmcheck; found = slmcheck.diagnose('tone/old'); print(len(found.findings)); "
        "print([name for name in ('sklearn', 'torch', 'transformers') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[:2] == [str(len(first.findings)), "[]"]


def test_an_edited_label_is_diagnosed_again(suite: Path) -> None:
    diagnosis_of(slmcheck.open_run("tone/old"))
    rows = [json.loads(line) for line in (suite / "test.jsonl").read_text().splitlines()]
    rows[0]["tone"] = "sad"
    write_rows(suite / "test.jsonl", rows)
    assert stored_diagnosis(slmcheck.open_run("tone/old")) is None


def test_trivial_scores_stand_beside_the_score_in_the_report(suite: Path) -> None:
    run = slmcheck.open_run("tone/old")
    assert float(run.accuracy) == pytest.approx(0.9)
    diagnosis_of(run)
    names = {score.metric for score in describe(run).trivial_scores}
    assert {"accuracy (majority)", "accuracy (tf-idf)"} <= names


def test_trivial_answers_that_the_store_lacks_are_only_made_when_work_is_allowed(suite: Path) -> None:
    run = slmcheck.open_run("tone/old")
    assert list(trivial_predictions(run, work=False)) == ["majority"]
    made = trivial_predictions(run, work=True)["tf-idf"]
    assert [found.prediction for found in trivial_predictions(run, work=False)["tf-idf"]] == [
        found.prediction for found in made
    ]
    assert all(sum(found.option_probabilities or ()) == pytest.approx(1.0, abs=1e-4) for found in made)


def test_asking_for_problems_is_a_verdict(suite: Path) -> None:
    run = slmcheck.open_run("tone/old")
    problems = Problems.of(run, [PROBLEM])
    with gates.judging(gates.Policy()) as judged:
        assert problems
        assert len(problems) == 1
    assert repr(problems) == "(overfitting: Fewer epochs.)"
    (verdict,) = judged
    assert (verdict.record.kind, verdict.record.holds, verdict.record.value) == ("finding", False, 1.0)
    assert verdict.record.lines[0] == "1 problem found"
    assert verdict.record.lines[-1] == "next: slmcheck diagnose tone/old --write-recipe fixed.yaml"


def test_no_problem_holds(suite: Path) -> None:
    run = slmcheck.open_run("tone/old")
    with gates.judging(gates.Policy()) as judged:
        assert not Problems.of(run, [replace(PROBLEM, severity="warning")])
    assert judged[0].record.holds


def test_the_written_recipe_carries_the_remedies_and_reads_the_same_rows(suite: Path, tmp_path: Path) -> None:
    recipe = recipes.load(suite / "old.yaml")
    write_recipe(recipe, [PROBLEM], tmp_path / "fixed.yaml")
    fixed = recipes.load(tmp_path / "fixed.yaml")
    assert (fixed.learning_rate, fixed.data.max_length) == (1e-4, 64)
    assert fixed.options == {"predictions": "other.jsonl"}
    assert fixed.data.train == ("suites/tone/train.jsonl",)
    assert "overfitting" in (tmp_path / "fixed.yaml").read_text().splitlines()[0]


def test_a_recipe_that_is_there_is_not_written_over(suite: Path) -> None:
    recipe = recipes.load(suite / "old.yaml")
    before = (suite / "old.yaml").read_text()
    with pytest.raises(InputError, match="exists already"):
        write_recipe(recipe, [PROBLEM], suite / "old.yaml")
    assert (suite / "old.yaml").read_text() == before


def test_findings_without_a_recipe_change_write_nothing(suite: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No finding of 'tone/old' has a change"):
        write_recipe(recipes.load(suite / "old.yaml"), [replace(PROBLEM, recipe_patch={})], tmp_path / "fixed.yaml")
    assert not (tmp_path / "fixed.yaml").exists()


def test_of_two_remedies_of_one_field_the_earlier_cause_decides() -> None:
    later = replace(PROBLEM, cause="worse-than-base", recipe_patch={"learning_rate": 5e-4, "seed": 1})
    assert patch_of([PROBLEM, later])["learning_rate"] == 1e-4
    assert patch_of([PROBLEM, later])["seed"] == 1
    assert patch_of([replace(PROBLEM, severity="note")]) == {}


GENERATION = """\
base_model: slmcheck/tiny
trainer: pretrained
task: generation
data:
  train: pairs.jsonl
  test: asked.jsonl
  text_template: "Question: {question}\\nAnswer: {answer}"
  answer: answer
  id: id
options: {predictions: told.jsonl}
"""


def test_generated_texts_are_compared_with_the_copied_input_and_the_nearest_answer(suite: Path) -> None:
    pairs = [{"id": f"a{n}", "question": f"where is room {n}", "answer": f"room {n} is upstairs"} for n in range(40)]
    asked = [{**pair, "id": f"b{n}", "question": f"say where is room {n}"} for n, pair in enumerate(pairs)]
    write_rows(suite / "pairs.jsonl", pairs)
    write_rows(suite / "asked.jsonl", asked)
    told = [
        {"id": row["id"], "prediction": "" if n % 4 else "here", "reference": row["answer"]}
        for n, row in enumerate(asked)
    ]
    write_rows(suite / "told.jsonl", told)
    (suite / "faq.yaml").write_text(GENERATION)
    run = slmcheck.open_run("tone/faq")
    nearest = trivial_predictions(run, work=True)["nearest"]
    learned = {item.references[0] for item in run.splits.train}
    known = [
        (found.prediction, row["answer"]) for found, row in zip(nearest, asked, strict=True) if row["answer"] in learned
    ]
    assert len(known) > 30
    assert all(found == answer for found, answer in known)
    copied = trivial_predictions(run, work=True)["copy"]
    assert copied[3].prediction == "say where is room 3"
    causes = {finding.cause: finding for finding in slmcheck.diagnose(run).all}
    assert causes["unparsable-answers"].severity == "problem"
    assert causes["no-better-than-trivial"].severity == "problem"
