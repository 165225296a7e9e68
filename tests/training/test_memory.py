from __future__ import annotations

import json
from dataclasses import replace

import pytest

from slmcheck.training.memory import ModelShape, estimate_memory, estimate_of_recipe, read_shape

S135 = ModelShape(layers=30, hidden=576, intermediate=1536, vocabulary=49152, parameters=134_500_000)
S11 = ModelShape(layers=6, hidden=288, intermediate=768, vocabulary=16384, parameters=10_700_000)
LORA_135, LORA_11 = 5_300_000, 530_000
MIB = 2**20


@pytest.mark.parametrize(
    ("shape", "trained", "rows", "length", "checkpointing", "measured"),
    [
        (S135, LORA_135, 1, 64, False, 796),
        (S135, LORA_135, 8, 128, False, 3152),
        (S135, 134_500_000, 1, 64, False, 2439),
        (S11, 10_700_000, 8, 128, False, 514),
        (S11, LORA_11, 16, 256, False, 1716),
        (S135, LORA_135, 8, 128, True, 1858),
    ],
)
def test_what_should_be_free_covers_what_was_measured(shape, trained, rows, length, checkpointing, measured) -> None:
    estimate = estimate_memory(
        shape,
        trained=trained,
        batch_tokens=rows * length,
        learned_tokens=rows * length // 2,
        checkpointing=checkpointing,
    )
    needed = (estimate.required_bytes - estimate.imports_bytes) / MIB
    assert measured * 0.95 < needed < measured * 1.6


def test_the_shape_is_read_from_the_files(small_model) -> None:
    shape = read_shape(small_model)
    assert (shape.layers, shape.hidden, shape.intermediate, shape.vocabulary) == (2, 32, 64, 259)
    assert shape.parameters == 35_168


def test_names_of_other_architectures_are_known(tmp_path, small_model) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"n_embd": 32, "n_layer": 2, "vocab_size": 259}))
    (tmp_path / "model.safetensors").write_bytes((small_model / "model.safetensors").read_bytes())
    assert read_shape(tmp_path).intermediate == 128


def test_a_model_that_is_not_at_hand_has_no_estimate(recipe) -> None:
    assert estimate_of_recipe(recipe, "org/name@0123") is None


def test_full_training_takes_more_than_an_adapter(recipe, small_model) -> None:
    lora = estimate_of_recipe(recipe, str(small_model))
    full = estimate_of_recipe(replace(recipe, trainer="full", options={}), str(small_model))
    assert full.optimizer_bytes > lora.optimizer_bytes
    assert full.total_bytes > lora.total_bytes


def test_checkpointing_takes_less_activations(recipe, small_model) -> None:
    kept = estimate_of_recipe(recipe, str(small_model))
    again = estimate_of_recipe(replace(recipe, gradient_checkpointing=True), str(small_model))
    assert again.activations_bytes < kept.activations_bytes
    assert (again.factor, kept.factor) == (1.5, 1.25)
