"""What a report says has changed since the accepted baseline; on files of saved predictions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from slmcheck.evaluation import Run, accept, open_recipe
from slmcheck.evaluation.baseline import Baseline
from slmcheck.evaluation.changed import changes_since, with_old_answers
from slmcheck.evaluation.description import describe
from slmcheck.records import Environment, ExampleEvidence
from slmcheck.storage import Baseline as BaselineFile
from slmcheck.storage import Store
from slmcheck.workspace import Workspace
from tests.evaluation.conftest import answers, rows_of, write_rows


def opened(suite: Path) -> Run:
    root = suite.parents[1]
    return open_recipe(suite / "old.yaml", Workspace(root=root, store=Store(root / "store")))


def accepted_of(run: Run) -> BaselineFile:
    file = Baseline.of(run, run.recipe.directory).file
    assert file is not None
    return file


@pytest.fixture
def accepted(suite: Path) -> Path:
    """The suite with the run tone/old accepted: 6 of 60 wrong."""
    run = opened(suite)
    assert float(run.accuracy) == pytest.approx(0.9)
    accept(run, suite)
    return suite


def test_the_accepted_run_itself_has_not_changed(accepted: Path) -> None:
    run = opened(accepted)
    assert changes_since(run, accepted_of(run)) == ()


def test_a_changed_field_of_the_recipe_is_told_with_both_values(accepted: Path) -> None:
    recipe = accepted / "old.yaml"
    recipe.write_text(recipe.read_text() + "seed: 7\n")
    run = opened(accepted)
    assert changes_since(run, accepted_of(run)) == ("seed: 0 → 7.",)


def test_rows_that_came_went_and_were_relabelled_are_counted(accepted: Path) -> None:
    rows = rows_of("test", 60)[:-2]
    rows[0]["tone"] = "sad"
    rows.append({"id": "new", "phrase": "another", "tone": "glad"})
    write_rows(accepted / "test.jsonl", rows)
    write_rows(accepted / "old.jsonl", [*answers(6), {"id": "new", "prediction": "glad", "reference": "glad"}])
    write_rows(accepted / "train.jsonl", rows_of("train", 20))
    run = opened(accepted)
    assert changes_since(run, accepted_of(run)) == (
        "test rows: 1 added, 2 removed, 1 with another reference.",
        "train rows: 20 → 17.",
        "validation rows: 4 → 3.",
    )


def test_as_many_but_other_training_rows_are_told(accepted: Path) -> None:
    write_rows(accepted / "train.jsonl", rows_of("other", 24))
    run = opened(accepted)
    assert changes_since(run, accepted_of(run)) == (
        "train rows: still 20, but not the same ones.",
        "validation rows: still 4, but not the same ones.",
    )


def test_the_order_of_rows_is_no_change(accepted: Path) -> None:
    write_rows(accepted / "train.jsonl", rows_of("train", 24)[::-1])
    run = opened(accepted)
    assert changes_since(run, accepted_of(run)) == ()


def test_libraries_and_the_device_of_another_run_are_compared(accepted: Path) -> None:
    run = opened(accepted)
    file = accepted_of(run)
    environment = Environment(device="cuda", dtype=run.environment.dtype, versions={"torch": "1.0"})
    header = dataclasses.replace(file.header, run_key="0" * 64, environment=environment)
    found = changes_since(run, dataclasses.replace(file, header=header))
    assert "device: cuda → cpu." in found
    assert any(sentence.startswith("torch: 1.0 → ") for sentence in found)


def test_a_baseline_that_does_not_know_its_recipe_says_so(accepted: Path) -> None:
    run = opened(accepted)
    file = accepted_of(run)
    header = dataclasses.replace(file.header, run_key="0" * 64, recipe={}, data={}, data_digests={},
                                 environment=run.environment)  # fmt: skip
    (found,) = changes_since(run, dataclasses.replace(file, header=header))
    assert found == "The baseline is of an earlier slmcheck and does not say what its recipe and training rows were."


def test_a_report_shows_flips_first_with_both_answers(accepted: Path) -> None:
    write_rows(accepted / "old.jsonl", [*answers(0)[:1], *answers(18)[1:]])
    run = opened(accepted)
    assert float(run.accuracy) == pytest.approx(43 / 60)
    found = describe(run)
    assert [item.id for item in found.examples[:2]] == ["test6", "test7"]
    assert [(item.correct, item.old_correct) for item in found.examples[:12]] == [(False, True)] * 12
    assert found.examples[0].old_answer == "angry"
    better = next(item for item in found.examples if item.id == "test0")
    assert (better.correct, better.old_correct, better.old_answer) == (True, False, "glad")
    assert len(found.examples) == 60


def test_a_private_baseline_says_whether_an_answer_was_right_but_not_which_it_was(suite: Path) -> None:
    run = opened(suite)
    assert float(run.accuracy) == pytest.approx(0.9)
    accept(run, suite, private=True)
    write_rows(suite / "old.jsonl", answers(18))
    run = opened(suite)
    assert float(run.accuracy) == pytest.approx(0.7)
    by_id = {item.id: item for item in describe(run).examples}
    assert (by_id["test7"].correct, by_id["test7"].old_correct, by_id["test7"].old_answer) == (False, True, None)
    assert by_id["test30"].old_answer == by_id["test30"].answer


def test_a_relabelled_row_with_the_same_answer_did_not_flip(accepted: Path) -> None:
    run = opened(accepted)
    now = ExampleEvidence(id="test0", prompt="p", reference="glad", answer="glad", correct=True)
    (found,) = with_old_answers((now,), accepted_of(run), split="test")
    assert (found.old_answer, found.old_correct) == ("glad", True)


def test_an_example_that_the_baseline_does_not_know_stays_as_it_is(accepted: Path) -> None:
    run = opened(accepted)
    now = ExampleEvidence(id="unknown", prompt="p", reference="glad", answer="glad", correct=True)
    assert with_old_answers((now,), accepted_of(run), split="test") == (now,)


def test_the_header_keeps_what_later_runs_are_compared_with(accepted: Path) -> None:
    header = json.loads((accepted / "baselines" / "old.json").read_text())["accepted"]
    assert header["data"] == {"train": 20, "validation": 4, "test": 60}
    assert header["recipe"]["base_model"] == "slmcheck/tiny"
    assert all(len(value) == 16 for value in header["data_digests"].values())
