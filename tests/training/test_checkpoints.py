from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from slmcheck.errors import CheckpointError
from slmcheck.recipes import base_model_of
from slmcheck.training.checkpoints import adapter_checkpoint, finish_adapter, model_checkpoint


def test_the_key_is_of_the_content_not_of_the_path(whole, small_model, tmp_path) -> None:
    moved = shutil.copytree(whole.checkpoint.path, tmp_path / "moved")
    base = shutil.copytree(small_model, tmp_path / "base")
    assert adapter_checkpoint(moved, base_model=str(base)).key == whole.checkpoint.key


def test_another_base_model_is_another_checkpoint(whole, small_model, tmp_path) -> None:
    base = shutil.copytree(small_model, tmp_path / "base")
    data = bytearray((base / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (base / "model.safetensors").write_bytes(data)
    assert adapter_checkpoint(whole.checkpoint.path, base_model=str(base)).key != whole.checkpoint.key


def test_a_changed_configuration_is_another_checkpoint(whole, small_model, tmp_path) -> None:
    moved = shutil.copytree(whole.checkpoint.path, tmp_path / "moved")
    config = json.loads((moved / "adapter_config.json").read_text())
    (moved / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 1}))
    assert adapter_checkpoint(moved, base_model=str(small_model)).key != whole.checkpoint.key
    (moved / "adapter_config.json").write_text(json.dumps({**config, "peft_version": "9"}))
    assert adapter_checkpoint(moved, base_model=str(small_model)).key == whole.checkpoint.key


def test_a_model_folder_is_keyed_as_it_is_as_a_base_model(recipe, small_model) -> None:
    as_base = base_model_of(replace(recipe, base_model=str(small_model))).checkpoint()
    assert model_checkpoint(small_model).key == as_base.key


def test_a_truncated_adapter_is_refused(whole, small_model, tmp_path) -> None:
    moved = shutil.copytree(whole.checkpoint.path, tmp_path / "moved")
    file = moved / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="damaged"):
        adapter_checkpoint(moved, base_model=str(small_model))


def test_the_configuration_names_the_base_model_as_the_recipe_does(whole, small_model, tmp_path) -> None:
    moved = shutil.copytree(whole.checkpoint.path, tmp_path / "moved")
    recipe = replace(whole.job.recipe, base_model="org/name")
    finish_adapter(moved, replace(whole.job, recipe=recipe))
    assert str(small_model) not in (moved / "adapter_config.json").read_text() + (moved / "base_model.json").read_text()
    assert json.loads((moved / "adapter_config.json").read_text())["base_model_name_or_path"] == "org/name"


def test_an_adapter_says_which_weights_it_belongs_to(whole) -> None:
    recorded = json.loads((whole.checkpoint.path / "base_model.json").read_text())
    assert set(recorded) == {"base_model", "weights"}
    config = json.loads((whole.checkpoint.path / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
