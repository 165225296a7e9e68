"""Adapters side by side: each answers as alone, and what disturbs another is found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from slmcheck.errors import InputError
from slmcheck.evaluation import open_recipe
from slmcheck.evaluation.together import together
from slmcheck.records import DataSpec, EvaluationSpec, Recipe
from slmcheck.storage import Store
from slmcheck.testing import write_small_model
from slmcheck.workspace import Workspace

pytestmark = pytest.mark.slow  # each run is a training in a process of its own

THINGS = ("apple", "river", "stone", "cloud", "horse", "candle")
COLOURS = ("red", "blue", "green")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with a base model and rows, and its workspace."""
    root = tmp_path_factory.mktemp("family")
    write_small_model(root / "base")
    rows = [{"thing": f"{THINGS[n % 6]} {n}", "colour": COLOURS[n % 3]} for n in range(36)]
    for name, part in (("train", rows[:20]), ("validation", rows[20:28]), ("test", rows[28:])):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return root


@pytest.fixture(scope="module")
def workspace(project) -> Workspace:
    return Workspace(root=project, store=Store(project / "store"))


@pytest.fixture(scope="module")
def recipe(project):
    """A recipe of the family: `recipe("colour", trainer="lora", options={...})`."""

    def make(name: str, template: str = "Thing: {thing}\nColour: {colour}", **fields: object) -> Recipe:
        data = DataSpec(
            train=(str(project / "train.jsonl"),),
            validation=(str(project / "validation.jsonl"),),
            test=(str(project / "test.jsonl"),),
            text_template=template,
            answer="thing" if template.endswith("{thing}") else "colour",
        )
        base = Recipe(
            name=f"family/{name}",
            base_model=str(project / "base"),
            task="classification",
            trainer="lora",
            data=data,
            options={"r": 4},
            learning_rate=2e-2,
            max_steps=6,
            eval_steps=6,
        )
        return replace(base, **fields)

    return make


@pytest.fixture(scope="module")
def written(recipe) -> Recipe:
    evaluation = EvaluationSpec(max_new_tokens=4)
    return recipe("thing", "Colour: {colour}\nThing: {thing}", task="generation", evaluation=evaluation, seed=1)


@pytest.fixture(scope="module")
def runs(recipe, written, workspace):
    return [open_recipe(one, workspace) for one in (recipe("colour"), written)]


@pytest.fixture(scope="module")
def family(runs, workspace):
    return together(runs, workspace=workspace)


def test_adapters_that_keep_apart_are_true(family) -> None:
    assert family
    assert len(family.checks) == 11
    assert repr(family) == "<colour, thing on one base model: 11 checks hold>"


def test_a_run_scores_among_the_others_as_alone(family, runs) -> None:
    assert float(family["colour"].accuracy) == float(runs[0].accuracy)
    assert float(family["thing"].rougeL) == float(runs[1].rougeL)
    assert [one.prediction for one in family["thing"].predictions] == [one.prediction for one in runs[1].predictions()]


def test_lora_adapters_are_switched_from_row_to_row(family) -> None:
    assert family.switches_rows


def test_a_second_session_asks_no_model(runs, workspace, family) -> None:
    assert family
    again = together(runs, workspace=replace(workspace, offline=True))
    assert [check.value for check in again.checks] == [check.value for check in family.checks]


def test_a_family_becomes_one_graph_with_an_adapter_file_a_run(family, tmp_path: Path) -> None:
    deployed = family.export(tmp_path / "deploy")
    assert deployed.adapters == ("colour", "thing")
    assert (tmp_path / "deploy" / "adapters" / "thing.onnx_adapter").is_file()


def test_bottleneck_adapters_are_switched_from_row_to_row(recipe, written, workspace) -> None:
    options = {"method": "bottleneck"}
    family = together(
        [recipe("colour", trainer="adapters", options=options), replace(written, trainer="adapters", options=options)],
        workspace=workspace,
    )
    assert family
    assert family.switches_rows


def test_adapters_of_another_method_are_switched_from_batch_to_batch(recipe, written, workspace) -> None:
    options = {"method": "ia3"}
    family = together(
        [
            recipe("colour", trainer="adapters", options=options, learning_rate=0.1),
            replace(written, trainer="adapters", options=options, learning_rate=0.1),
        ],
        workspace=workspace,
    )
    assert family
    assert not family.switches_rows


def test_adapters_on_a_quantised_base_stand_on_it_together(recipe, written, workspace) -> None:
    family = together(
        [recipe("colour", trainer="qlora"), replace(written, trainer="qlora")],
        workspace=workspace,
    )
    assert family
    assert family.switches_rows


def test_an_adapter_that_changes_the_base_model_is_found(recipe, written, workspace) -> None:
    changing = recipe("colour", options={"r": 4, "init_lora_weights": "pissa"})
    family = together([changing, written], workspace=workspace)
    assert not family
    assert "thing alone = among the others, logits" in repr(family)
    assert any(check.name.startswith("all switched off") for check in family.failed)


def test_one_run_stands_alone(runs) -> None:
    with pytest.raises(InputError, match="1 run stands alone"):
        together(runs[:1])


def test_one_run_twice_is_refused(runs) -> None:
    with pytest.raises(InputError, match="called alike"):
        together([runs[0], runs[0]])


def test_a_whole_model_is_refused(recipe, runs, workspace) -> None:
    whole = recipe("whole", trainer="full", options={}, learning_rate=1e-3)
    family = together([runs[0], whole], workspace=workspace)
    with pytest.raises(InputError, match="'whole' has no adapter"):
        bool(family)
