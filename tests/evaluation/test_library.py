"""The library without pytest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import slmcheck
from slmcheck import recipes
from slmcheck.errors import (
    ComparisonError,
    DataError,
    InputError,
    RecipeError,
    UnknownMetricError,
    UnknownRunError,
)
from slmcheck.evaluation import Baseline, accept
from slmcheck.evaluation.library import check, compare, evaluate, open_run, parity, plan, report
from slmcheck.evaluation.opening import bare_recipe
from slmcheck.records import Prediction, Recipe, Report
from slmcheck.storage import Store
from slmcheck.studies.library import finetune
from slmcheck.workspace import Workspace


@pytest.mark.parametrize("name", ["check", "compare", "evaluate", "open_run", "plan", "report"])
def test_it_is_what_the_package_offers(name: str) -> None:
    from slmcheck.evaluation import library

    assert getattr(slmcheck, name) is getattr(library, name)


# Runs


@pytest.mark.parametrize("source", ["tone/old", "old", "suites/tone/old.yaml", Path("suites/tone/old.yaml")])
def test_a_run_is_opened_by_name_or_path(source: str | Path, suite: Path) -> None:
    assert float(open_run(source).accuracy) == 0.9


def test_a_run_is_opened_by_a_recipe(suite: Path) -> None:
    assert float(open_run(recipes.load(suite / "new.yaml")).accuracy) == pytest.approx(0.7)


def test_opening_never_trains(suite: Path) -> None:
    text = (
        (suite / "old.yaml").read_text().replace("pretrained", "lora").replace("options: {predictions: old.jsonl}", "")
    )
    (suite / "lora.yaml").write_text(text)
    with pytest.raises(UnknownRunError, match=r"Train it: slmcheck train suites/tone/lora\.yaml"):
        open_run("tone/lora")


def test_a_run_by_its_key_keeps_the_recipe_it_was_made_with(suite: Path) -> None:
    key = open_run("tone/old").key
    (suite / "old.yaml").write_text((suite / "old.yaml").read_text() + "learning_rate: 1.0e-3\n")
    assert open_run("tone/old").key != key
    found = open_run(key[:12])
    assert (found.key, found.recipe.learning_rate) == (key, 2e-4)


def test_a_run_whose_recipe_is_gone_has_no_rows(suite: Path) -> None:
    key = open_run("tone/old").key
    (suite / "old.yaml").unlink()
    with pytest.raises(UnknownRunError, match="no recipe has its name 'tone/old'"):
        open_run(key[:12])


def test_a_run_is_made_or_found_by_finetune(suite: Path) -> None:
    made = finetune("tone/old")
    assert finetune(suite / "old.yaml").key == made.key == finetune(recipes.load(suite / "old.yaml")).key


def test_a_workspace_of_ones_own_is_used(suite: Path, tmp_path: Path) -> None:
    elsewhere = Workspace(root=tmp_path, store=Store(tmp_path / "elsewhere"))
    finetune("tone/old", workspace=elsewhere)
    assert [record.name for record in elsewhere.store.runs()] == ["tone/old"]


# Evaluating


def test_evaluating_gives_the_score_of_the_run_with_its_evidence(suite: Path) -> None:
    score = evaluate("tone/old", None, "accuracy")
    run = open_run("tone/old")
    assert float(score) == float(run.accuracy)
    assert score.evidence is not None
    assert score.evidence.example_ids == run.accuracy.evidence.example_ids  # type: ignore[union-attr]


def test_evaluating_on_the_file_of_the_test_split_reads_the_stored_score(suite: Path) -> None:
    run = open_run("tone/old")
    assert float(run.accuracy) == 0.9
    keys = set(run.workspace.store.score_keys())
    assert float(evaluate("tone/old", suite / "test.jsonl", "accuracy")) == 0.9
    assert set(run.workspace.store.score_keys()) == keys


def test_other_rows_have_the_labels_that_the_run_was_trained_with(suite: Path) -> None:
    rows = (suite / "test.jsonl").read_text().splitlines(keepends=True)
    (suite / "angry.jsonl").write_text("".join(row for row in rows if "angry" in row))
    score = evaluate("tone/old", suite / "angry.jsonl", "accuracy")
    assert (score.n, float(score)) == (20, 0.9)


def test_several_files_and_split_expressions_are_data(suite: Path) -> None:
    data = [f"{suite}/test.jsonl[:10]", f"{suite}/test.jsonl[50:]"]
    assert evaluate("tone/old", data, "accuracy").n == 20


def test_rows_elsewhere_do_not_move_the_project(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = tmp_path_factory.mktemp("elsewhere") / "rows.jsonl"
    rows.write_text((suite / "test.jsonl").read_text())
    assert float(evaluate("tone/old", rows, "accuracy")) == 0.9
    assert not (rows.parent / ".slmcheck").exists()


def test_a_function_of_predictions_is_a_metric(suite: Path) -> None:
    def is_short(predictions: Sequence[Prediction]) -> list[float]:
        return [float(len(found.prediction or "") <= 4) for found in predictions]

    assert 0.0 < float(evaluate("tone/old", None, is_short)) < 1.0
    assert 0.0 < float(evaluate(suite / "old.jsonl", None, is_short)) < 1.0


@pytest.mark.parametrize(
    ("metric", "task", "value"),
    [("accuracy", None, 0.9), ("f1", None, 0.9), ("exact_match", None, 0.9), ("rouge1", "generation", 0.9)],
)
def test_saved_predictions_are_measured_by_the_task_they_look_like(
    metric: str, task: str | None, value: float, suite: Path
) -> None:
    found = float(evaluate(suite / "old.jsonl", None, metric, task=task))  # type: ignore[arg-type]
    assert found == pytest.approx(value, abs=1e-9)


def test_an_unknown_metric_is_said(suite: Path) -> None:
    with pytest.raises(UnknownMetricError, match="accuracy"):
        evaluate(suite / "old.jsonl", None, "acuracy")


def test_rows_with_prompt_and_reference_need_no_template(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "2 + 2 =", "reference": "4"}\n')
    recipe = bare_recipe("org/name", path, task=None, text_template=None, answer=None)
    assert (recipe.task, recipe.data.text_template, recipe.data.answer) == (
        "generation", "{prompt}{reference}", "reference",
    )  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {"text_template": "{phrase}: {tone}", "answer": "tone"},
        {"text_template": "{phrase}: {tone}", "task": "classification"},
        {"task": "classification"},
    ],
)
def test_half_a_template_is_none(given: dict[str, str], suite: Path) -> None:
    with pytest.raises(InputError, match="the template that its prompts are made with is not known"):
        evaluate("slmcheck/tiny", suite / "test.jsonl", "accuracy", **given)  # type: ignore[arg-type]


def test_an_adapter_whose_base_model_cannot_be_found_from_here(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "./model"}')
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "reference": "b"}\n')
    with pytest.raises(InputError, match="Give the recipe that it was trained with"):
        evaluate(adapter, tmp_path / "rows.jsonl", "loss")


# Comparing


def test_comparing_gives_the_verdict_with_three_examples(suite: Path) -> None:
    verdict = compare("tone/old", "tone/new", metric="accuracy", margin=0.01)
    assert not verdict
    assert (verdict.state, verdict.proven) == ("fail", True)
    assert verdict.record.change == pytest.approx(-0.2)
    assert len(verdict.record.examples) == 3
    assert all(example.old_answer and example.answer != example.old_answer for example in verdict.record.examples)


def test_examples_are_there_when_the_claim_holds_too(suite: Path) -> None:
    verdict = compare("tone/old", "tone/new", metric="accuracy", margin=0.5)
    assert verdict
    assert len(verdict.record.examples) == 3


@pytest.mark.parametrize(("gate", "holds"), [("dev", True), ("release", False)])
def test_release_asks_for_proof(gate: str, holds: bool, suite: Path) -> None:
    assert bool(compare("tone/old", "tone/old", metric="accuracy", gate=gate)) is holds  # type: ignore[arg-type]


def test_runs_files_and_baselines_are_compared_alike(suite: Path) -> None:
    old, new = open_run("tone/old"), open_run("tone/new")
    assert float(old.accuracy) == 0.9
    accept(old, suite)
    baseline = Baseline.of(old, suite)
    sides = [old, baseline, suite / "old.jsonl", "tone/old", suite / "baselines" / "old.json"]
    changes = [compare(side, new, metric="accuracy").record.change for side in sides]
    assert changes == [pytest.approx(-0.2)] * 5


def test_a_baseline_is_the_older_side_wherever_it_stands(suite: Path) -> None:
    old = open_run("tone/old")
    assert float(old.accuracy) == 0.9
    accept(old, suite)
    verdict = compare(open_run("tone/new"), Baseline.of(old, suite), metric="accuracy")
    assert verdict.record.change == pytest.approx(-0.2)


def test_a_metric_that_was_not_accepted_is_said(suite: Path) -> None:
    old = open_run("tone/old")
    assert float(old.accuracy) == 0.9
    accept(old, suite)
    with pytest.raises(ComparisonError, match="f1"):
        compare(Baseline.of(old, suite), old, metric="f1")


# Checking, planning, reporting


def test_checking_gives_what_is_worth_knowing(suite: Path) -> None:
    assert [finding.severity for finding in check("tone/old") if finding.severity != "note"] == ["warning"]


def test_checking_raises_every_problem_of_the_rows(suite: Path) -> None:
    with (suite / "train.jsonl").open("a") as file:
        file.write('{"id": "a", "tone": "sad"}\n{"id": "b", "phrase": "b"}\n')
    with pytest.raises(DataError, match=r"train.jsonl:25.*train.jsonl:26"):
        check(suite / "old.yaml")


def test_checking_raises_the_problems_of_the_recipe(suite: Path) -> None:
    recipe: Recipe = replace(recipes.load(suite / "old.yaml"), base_model="slmcheck/tny", seed=-1)
    with pytest.raises(RecipeError, match="2 problems"):
        check(recipe)


def test_planning_a_suite_plans_every_recipe(suite: Path) -> None:
    assert [found.recipe.name for found in plan(suite)] == ["tone/new", "tone/old"]
    assert plan("tone/old", margin=0.2)[0].checks[0].margin == 0.2


def test_a_report_needs_a_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a place"):
        report(Report(), format="markdown")


def test_a_report_is_rendered_into_a_folder_or_a_file(tmp_path: Path) -> None:
    found = Report(created="2026-01-01T00:00:00+00:00")
    assert report(found, format="json", output=tmp_path) == (tmp_path / "report.json",)
    assert report(tmp_path, format="markdown", output=tmp_path / "text.md") == (tmp_path / "text.md",)
    assert (tmp_path / "text.md").read_text().startswith("#")


def test_the_newest_report_of_a_project_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="Make one: slmcheck run SUITES"):
        report()


def test_an_unknown_precision_is_said(suite: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'int8'"):
        parity("tone/old", "int88")


# On a real model


@pytest.mark.real
def test_a_model_folder_has_one_number_whatever_the_way(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = real_data / "models" / "stories260k"
    rows = (real_data / "data" / "sms_spam" / "test.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:12]
    (tmp_path / "rows.jsonl").write_text("".join(rows), encoding="utf-8")
    (tmp_path / "pretrained.yaml").write_text(
        f"base_model: {model}\ntrainer: pretrained\ntask: classification\nlabels: [ham, spam]\n"
        f"data:\n  train: {real_data}/data/sms_spam/train.jsonl[:40]\n  test: rows.jsonl\n"
        '  text_template: "Text: {text}\\nLabel: {label}"\n  answer: label\n'
        f"options: {{model: {model}}}\n"
    )
    of_run = evaluate("pretrained.yaml", None, "brier")
    of_folder = evaluate(model, "rows.jsonl", "brier", recipe="pretrained.yaml")
    bare = evaluate(
        model,
        "rows.jsonl",
        "brier",
        task="classification",
        text_template="Text: {text}\nLabel: {label}",
        answer="label",
    )
    assert float(of_run) == float(of_folder) == float(bare)


def test_importing_it_loads_no_model_library() -> None:
    import subprocess
    import sys

    heavy: Callable[[str], str] = (
        "print([name for name in ('torch', 'transformers', 'sklearn', 'scipy') if name in {}])".format
    )
    code = f"import sys\nimport slmcheck.evaluation.library\n{heavy('sys.modules')}"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"
