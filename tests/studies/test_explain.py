"""What changed: the difference that matters is named, whatever else differs."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from slmcheck.errors import ComparisonError, SlmcheckError
from slmcheck.evaluation import Run
from slmcheck.records import Recipe
from slmcheck.studies import explain, open_recipe
from slmcheck.studies.changes import groups_between
from slmcheck.studies.trainings import Trainings
from tests.studies.conftest import Project, write_rows


def run_of(project: Project, recipe: Recipe) -> Run:
    return open_recipe(recipe, project.trainings())


def test_the_difference_that_matters_is_named(project: Project) -> None:
    old = run_of(project, project.recipe())
    new = run_of(project, project.recipe(options__predictions="wrong_30.jsonl", weight_decay=0.1, seed=3))
    found = explain(old, new, project.trainings())
    assert found.causes == ("options.predictions",)
    effects = {item.name: item for item in found.attributions}
    effect = effects["options.predictions"].effect
    assert effect is not None
    assert effect.value == pytest.approx(-24 / 120)
    assert effect.high < 0 < effects["seed"].effect.high  # type: ignore[union-attr]
    assert effects["weight_decay"].state == "no effect seen"
    assert found.rest == pytest.approx(0.0)
    assert "options.predictions (wrong_6.jsonl -> wrong_30.jsonl) accounts for -20.0 points" in found.conclusion


def test_a_gain_is_explained_as_a_loss_is(project: Project) -> None:
    old = run_of(project, project.recipe(options__predictions="wrong_60.jsonl", learning_rate=0.1))
    new = run_of(project, project.recipe())
    found = explain(old, new, project.trainings())
    assert found.causes == ("options.predictions",)
    assert found.total.low > 0


def test_what_cannot_be_told_from_chance_trains_nothing(project: Project) -> None:
    old = run_of(project, project.recipe())
    new = run_of(project, project.recipe(weight_decay=0.1, seed=2))
    before = len(list(project.workspace.store.runs()))
    found = explain(old, new, project.trainings())
    assert found.conclusion.startswith("Seeds alone explain it")
    assert {item.state for item in found.attributions} == {"not tried"}
    assert len(list(project.workspace.store.runs())) == before


def test_one_difference_needs_no_training_because_reverting_it_gives_the_older_run(project: Project) -> None:
    old = run_of(project, project.recipe())
    new = run_of(project, project.recipe(options__predictions="wrong_60.jsonl"))
    project.told.clear()
    found = explain(old, new, project.trainings())
    assert found.attributions[0].run_key == old.key
    assert found.attributions[0].effect is not None
    assert found.attributions[0].effect.value == pytest.approx(found.total.value)
    assert project.told == ["explaining tone/plain: 0 trainings; 1 training in the store already"]


def test_every_kind_of_difference_is_found_in_a_group_of_its_own(project: Project) -> None:
    shorter = [{"id": f"train{i}", "phrase": f"phrase train {i}", "tone": "sad"} for i in range(30)]
    write_rows(project.suite / "other.jsonl", [*shorter, {"id": "a", "phrase": "b", "tone": "glad"},
                                               {"id": "c", "phrase": "d", "tone": "glad"},
                                               {"id": "e", "phrase": "f", "tone": "angry"},
                                               {"id": "g", "phrase": "h", "tone": "angry"}])  # fmt: skip
    old = run_of(project, project.recipe())
    changed = project.recipe(
        data__train="other.jsonl",
        data__text_template="Text: {phrase}\nTone: {tone}",
        data__max_length=64,
        learning_rate=0.1,
        max_steps=5,
        seed=9,
        evaluation__normalization="mean_tokens",
        options__predictions="wrong_30.jsonl",
    )
    groups = {group.name: group for group in groups_between(old, run_of(project, changed))}
    assert {name: group.kind for name, group in groups.items()} == {
        "evaluation": "evaluation",
        "data rows": "data rows",
        "template": "template",
        "learning_rate": "hyperparameter",
        "num_train_epochs and max_steps": "hyperparameter",
        "data.max_length": "hyperparameter",
        "options.predictions": "hyperparameter",
        "seed": "seed",
    }
    assert groups["data rows"].new == "34 + 120 rows"
    revert = groups["num_train_epochs and max_steps"].revert
    assert revert is not None
    assert revert(changed).max_steps is None


def test_rows_that_were_edited_since_cannot_be_brought_back(project: Project) -> None:
    old = run_of(project, project.recipe())
    path = project.suite / "train.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]), encoding="utf-8")
    recipe = project.recipe(options__predictions="wrong_30.jsonl")
    new, stale = run_of(project, recipe), run_of(project, project.recipe())
    now = Run([replace(old.record, recipe=old.recipe)], stale.splits, project.workspace)
    found = explain(now, new, project.trainings())
    rows = next(item for item in found.attributions if item.name == "data rows")
    assert rows.state == "cannot be tried"
    assert "hold other rows than those it was trained on" in rows.reason
    assert found.causes == ("options.predictions",)
    assert found.rest is None


def test_rows_that_only_their_own_template_can_read_are_one_group_with_it(project: Project) -> None:
    renamed = [
        {"id": f"{split}{i}", "message": f"text {split} {i}", "tone": ("angry", "glad", "sad")[i % 3]}
        for split in ("train", "validation", "test")
        for i in range(60 if split == "train" else 120)
    ]
    for split in ("train", "validation", "test"):
        rows = [row for row in renamed if str(row["id"]).startswith(split)]
        write_rows(project.suite / f"{split}_renamed.jsonl", rows)
    patch = {f"data__{split}": f"{split}_renamed.jsonl" for split in ("train", "validation", "test")}
    new = run_of(project, project.recipe(**patch, data__text_template="Message: {message}\nTone: {tone}"))
    names = [group.name for group in groups_between(run_of(project, project.recipe()), new)]
    assert "data rows and template" in names
    assert "template" not in names


def test_a_spent_budget_leaves_the_rest_untried(project: Project) -> None:
    old = run_of(project, project.recipe())
    new = run_of(project, project.recipe(options__predictions="wrong_30.jsonl", weight_decay=0.1, seed=3))
    times = iter([0.0, 0.0, *[61.0] * 100])
    found = explain(old, new, project.trainings(budget_minutes=1.0, clock=lambda: next(times)))
    assert "Run the same command again" in found.stopped
    assert sorted(item.state for item in found.attributions)[-2:] == ["not tried", "not tried"]
    whole = explain(old, new, project.trainings())
    assert whole.causes == ("options.predictions",)


def test_runs_of_two_tasks_are_refused(project: Project) -> None:
    old = run_of(project, project.recipe())
    other = Run([replace(old.record, recipe=replace(old.recipe, task="generation"))], old.splits, old.workspace)
    with pytest.raises(ComparisonError, match="their tasks differ"):
        explain(old, other, Trainings(workspace=project.workspace))


def elsewhere(run: Run) -> Run:
    """The same run as if it had been trained under another torch."""
    versions = {**run.record.environment.versions, "torch": "2.0.0"}
    environment = replace(run.record.environment, versions=versions)
    return Run([replace(run.record, environment=environment)], run.splits, run.workspace)


def test_libraries_are_attributed_by_asking_the_same_weights_there(project: Project) -> None:
    new = run_of(project, project.recipe())
    found = explain(elsewhere(new), new, project.trainings(), python=sys.executable)
    libraries = next(item for item in found.attributions if item.kind == "library")
    assert libraries.effect is not None
    assert libraries.effect.value == 0.0
    assert "torch" in libraries.reason
    assert found.seeds == "one training stands behind both scores: no seed term"


def test_libraries_without_an_interpreter_say_which_option_names_it(project: Project) -> None:
    new = run_of(project, project.recipe())
    found = explain(elsewhere(new), new, project.trainings())
    libraries = next(item for item in found.attributions if item.kind == "library")
    assert (libraries.state, libraries.old[:11]) == ("cannot be tried", "torch 2.0.0")
    assert "--python OTHER" in libraries.reason


@pytest.mark.parametrize(
    ("python", "message"),
    [("no-such-python", "There is no interpreter 'no-such-python'"), ("/bin/false", "could not ask the model")],
)
def test_an_interpreter_that_cannot_be_used_is_one_clear_error(project: Project, python: str, message: str) -> None:
    new = run_of(project, project.recipe())
    with pytest.raises(SlmcheckError, match=message):
        explain(elsewhere(new), new, project.trainings(), python=python)
