"""Models trained elsewhere: found, checked, and referred to by their content."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from slmcheck_pretrained import PretrainedTrainer

from slmcheck.errors import CheckpointError, DataError, RecipeError
from slmcheck.records import DataSpec, HistoryPoint, Recipe
from slmcheck.testing import write_small_model
from slmcheck.testing.trainer_contract import examples
from slmcheck.training import train_in_child

STATE = {
    "global_step": 40,
    "max_steps": 60,
    "num_train_epochs": 3,
    "train_batch_size": 8,
    "best_global_step": 30,
    "best_model_checkpoint": "/elsewhere/checkpoint-30",
    "log_history": [
        {"step": 10, "epoch": 0.5, "loss": 2.5, "learning_rate": 0.001, "grad_norm": 1.25},
        {"step": 10, "epoch": 0.5, "eval_loss": 2.25, "eval_runtime": 3.0},
        {"step": 40, "epoch": 2.0, "loss": 1.0, "learning_rate": 0.0005, "grad_norm": float("nan")},
        {"step": 40, "train_runtime": 12.0},
    ],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base model, another model and an adapter in it."""
    folder = tmp_path_factory.mktemp("made")
    write_small_model(folder / "base")
    write_small_model(folder / "tuned", seed=1)
    return folder


@pytest.fixture
def suite(made, tmp_path) -> Path:
    """A folder of a recipe, the models beside it."""
    shutil.copytree(made, tmp_path / "suite")
    return tmp_path / "suite"


@pytest.fixture
def recipe(suite) -> Recipe:
    return Recipe(
        name="suite/elsewhere",
        path=suite / "elsewhere.yaml",
        base_model="./base",
        task="classification",
        trainer="pretrained",
        data=DataSpec(text_template="Thing: {thing}\nColour: {colour}", answer="colour"),
        options={"model": "./tuned"},
    )


@pytest.fixture
def adapter(suite, recipe) -> Path:
    """An adapter as peft saves one, trained on `base`."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from slmcheck.training.quiet import quiet_libraries

    with quiet_libraries():
        base = AutoModelForCausalLM.from_pretrained(suite / "base")
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "v_proj"]))
        model.save_pretrained(suite / "adapter")
    return suite / "adapter"


def adopt(recipe, tmp_path):
    work = tmp_path / "work"
    return train_in_child(recipe, examples(4), examples(2), work, base_model=str(recipe.directory / "base"))


def problems(recipe) -> str:
    with pytest.raises(RecipeError) as error:
        PretrainedTrainer().check(recipe)
    return str(error.value)


def test_a_model_folder_becomes_a_run_without_being_copied(recipe, suite, tmp_path) -> None:
    result = adopt(recipe, tmp_path)
    assert (result.checkpoint.kind, result.checkpoint.path) == ("model", suite / "tuned")
    assert result.engine == "trained elsewhere"
    assert result.history == ()
    assert sorted(path.name for path in result.directory.iterdir()) == ["env.json", "history.jsonl"]


def test_the_key_is_that_of_the_content(recipe, suite, tmp_path) -> None:
    first = adopt(recipe, tmp_path / "1").checkpoint.key
    shutil.move(suite / "tuned", suite / "moved")
    moved = replace(recipe, options={"model": "./moved"})
    assert adopt(moved, tmp_path / "2").checkpoint.key == first
    other = replace(recipe, options={"model": "./base"})
    assert adopt(other, tmp_path / "3").checkpoint.key != first


def test_an_adapter_is_judged_on_the_base_model_of_the_recipe(recipe, adapter, suite, tmp_path) -> None:
    result = adopt(replace(recipe, options={"adapter": "./adapter"}), tmp_path)
    assert (result.checkpoint.kind, result.checkpoint.path) == ("adapter", adapter)
    assert result.checkpoint.base_model == str(suite / "base")
    assert result.notes[0] == (
        "Adapter trained elsewhere: peft_type LORA, r 2, lora_alpha 8, lora_dropout 0.0, target_modules q_proj v_proj."
    )


def test_an_adapter_may_name_a_base_model_of_its_own(recipe, adapter, suite, tmp_path) -> None:
    result = adopt(replace(recipe, options={"adapter": "./adapter", "model": "./tuned"}), tmp_path)
    assert result.checkpoint.base_model == str(suite / "tuned")
    assert "it is judged on './tuned'" in result.notes[-1]


def test_an_adapter_that_records_other_base_weights_is_refused(recipe, adapter, suite, tmp_path) -> None:
    from slmcheck.backends.base_identity import record_base

    record_base(adapter, suite / "base", name="./base")
    adopt(replace(recipe, options={"adapter": "./adapter"}), tmp_path / "1")
    with pytest.raises(CheckpointError, match="was trained on other weights"):
        adopt(replace(recipe, options={"adapter": "./adapter", "model": "./tuned"}), tmp_path / "2")


def test_the_history_of_transformers_is_taken_over(recipe, suite, tmp_path) -> None:
    (suite / "tuned" / "trainer_state.json").write_text(json.dumps(STATE))
    result = adopt(recipe, tmp_path)
    assert result.history == (
        HistoryPoint(step=10, epoch=0.5, train_loss=2.5, validation_loss=2.25, learning_rate=0.001, gradient_norm=1.25),
        HistoryPoint(step=40, epoch=2.0, train_loss=1.0, learning_rate=0.0005),
    )
    assert (result.best_step, result.last_step, result.stopped_early) == (30, 40, True)
    assert result.notes == ("Trained elsewhere with num_train_epochs 3, train_batch_size 8, max_steps 60.",)


def test_a_checkpoint_folder_holds_the_weights_of_its_own_step(recipe, suite, tmp_path) -> None:
    shutil.move(suite / "tuned", suite / "checkpoint-40")
    (suite / "checkpoint-40" / "trainer_state.json").write_text(json.dumps(STATE))
    result = adopt(replace(recipe, options={"model": "./checkpoint-40"}), tmp_path)
    assert result.best_step == 40


def test_the_state_of_the_newest_checkpoint_inside_is_read(recipe, suite, tmp_path) -> None:
    for step in (9, 10):
        inner = suite / "tuned" / f"checkpoint-{step}"
        inner.mkdir()
        (inner / "trainer_state.json").write_text(json.dumps({**STATE, "global_step": step}))
    assert adopt(recipe, tmp_path).last_step == 10


def test_a_state_that_cannot_be_read_is_said(recipe, suite, tmp_path) -> None:
    (suite / "tuned" / "trainer_state.json").write_text("{")
    result = adopt(recipe, tmp_path)
    assert result.history == ()
    assert "trainer_state.json cannot be read, so there is no history" in result.notes[0]


def test_saved_predictions_are_a_run_without_a_model(recipe, suite, tmp_path) -> None:
    (suite / "answers.jsonl").write_text('{"id": "1", "prediction": "red", "reference": "red"}\n')
    result = adopt(replace(recipe, options={"predictions": "answers.jsonl"}), tmp_path)
    assert result.checkpoint.kind == "predictions"
    assert result.checkpoint.path == result.directory / "predictions.jsonl"


def test_saved_predictions_that_cannot_be_used_are_refused(recipe, suite, tmp_path) -> None:
    (suite / "answers.jsonl").write_text('{"id": "1"}\n')
    with pytest.raises(DataError, match=r"answers\.jsonl:1"):
        adopt(replace(recipe, options={"predictions": "answers.jsonl"}), tmp_path)


def test_pickled_weights_are_not_read(recipe, suite, tmp_path) -> None:
    (suite / "tuned" / "model.safetensors").rename(suite / "tuned" / "pytorch_model.bin")
    assert "pickled weights only" in problems(recipe)


def test_a_pickled_adapter_is_not_read(recipe, adapter, tmp_path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="pickled weights only"):
        adopt(replace(recipe, options={"adapter": "./adapter"}), tmp_path)


def test_truncated_weights_are_refused(recipe, suite, tmp_path) -> None:
    file = suite / "tuned" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        adopt(recipe, tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "options names no model; give model, adapter or predictions"),
        ({"model": "./nowhere"}, "options.model is './nowhere', and there is no folder"),
        ({"adapter": "./base"}, "options.adapter is './base', and"),
        ({"predictions": "none.jsonl"}, "options.predictions is 'none.jsonl', and there is no file"),
        ({"predictions": "none.jsonl", "model": "./tuned"}, "saved predictions need no model, keep one"),
        ({"modell": "./tuned"}, "did you mean 'model'"),
    ],
)
def test_what_is_wrong_with_the_source_is_said(recipe, options, said) -> None:
    assert said in problems(replace(recipe, options=options))


def test_its_module_imports_no_model_library() -> None:
    import subprocess
    import sys

    code = "import sys, slmcheck_pretrained; print([n for n in ('torch', 'transformers') if n in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
