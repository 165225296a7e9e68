"""Adapters on one base model in memory: the one that is asked for answers, and no other has a say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from slmcheck.backends import PaddedBatch, load, load_base_alone, load_side_by_side
from slmcheck.backends.base_identity import record_base
from slmcheck.backends.bottleneck import BottleneckConfig, Bottlenecked, save_bottlenecks
from slmcheck.backends.quantized import Quantization, write_quantization
from slmcheck.errors import InputError
from slmcheck.records import Checkpoint
from slmcheck.testing import write_small_model
from slmcheck.training.quiet import quiet_libraries

ROWS = [[5, 6, 7, 8, 9], [30, 31, 32], [50, 51, 52, 53]]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapters(base, tmp_path_factory) -> dict[str, Checkpoint]:
    """Two LoRA adapters with drawn weights, of different ranks; peft takes no dots in a name, ours have one."""
    return {name: lora(base, tmp_path_factory.mktemp("adapter"), rank, name) for name, rank in (("a.x", 4), ("b", 8))}


def lora(base: Path, folder: Path, rank: int, key: str) -> Checkpoint:
    torch.manual_seed(rank)
    config = LoraConfig(task_type="CAUSAL_LM", r=rank, target_modules="all-linear", init_lora_weights=False)
    with quiet_libraries():
        get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)
    record_base(folder, base, name="base")
    return Checkpoint(kind="adapter", path=folder, key=key, base_model=str(base))


def networks(base: Path, folder: Path, seed: int, key: str) -> Checkpoint:
    torch.manual_seed(seed)
    model = Bottlenecked(AutoModelForCausalLM.from_pretrained(base))
    model.add("default", BottleneckConfig(modules=("model.layers.0.mlp", "model.layers.1.self_attn"), size=4))
    for weight in model.sets["default"].parameters():
        torch.nn.init.normal_(weight, std=0.5)
    save_bottlenecks(model, folder)
    record_base(folder, base, name="base")
    return Checkpoint(kind="adapter", path=folder, key=key, base_model=str(base))


def logits(model) -> np.ndarray:
    return np.concatenate(model.logits(PaddedBatch.of(ROWS, pad_id=0, pad_left=False)))


@pytest.fixture(params=["lora", "networks"])
def family(request, base, adapters, tmp_path):
    """Checkpoints and their family, of either kind that is switched from row to row."""
    made = adapters
    if request.param == "networks":
        made = {name: networks(base, tmp_path / name, seed, name) for seed, name in enumerate(adapters)}
    return made, load_side_by_side(made)


def test_each_answers_as_alone_whatever_was_asked_before(family) -> None:
    checkpoints, together = family
    for name in (*checkpoints, *reversed(checkpoints)):
        np.testing.assert_allclose(logits(together.model(name)), logits(load(checkpoints[name])), atol=1e-4)


def test_switched_off_it_is_the_base_model(family) -> None:
    checkpoints, together = family
    alone = load_base_alone(next(iter(checkpoints.values())))
    np.testing.assert_allclose(logits(together.model(None)), logits(alone), atol=1e-5)


def test_every_row_of_a_batch_has_its_own_adapter(family) -> None:
    checkpoints, together = family
    first, second = checkpoints
    assert together.switches_rows
    found = together.logits_of_rows([(first, ROWS[0]), (None, ROWS[1]), (second, ROWS[2])])
    for index, model in enumerate((together.model(first), together.model(None), together.model(second))):
        expected = model.logits(PaddedBatch.of([ROWS[index]], pad_id=0, pad_left=False))[0]
        np.testing.assert_allclose(found[index], expected, atol=1e-4)


def test_generation_switches_between_two_models_in_turn(family) -> None:
    checkpoints, together = family
    decoders = {name: together.model(name).decoder(rows=1, length=16) for name in checkpoints}
    for name, decoder in decoders.items():
        decoder.add([ROWS[0][:-1]])
        assert name in checkpoints
    for name, decoder in decoders.items():
        expected = load(checkpoints[name]).logits(PaddedBatch.of(ROWS[:1], pad_id=0, pad_left=False))[0][-1]
        np.testing.assert_allclose(decoder.step(np.asarray(ROWS[0][-1:]))[0], expected, atol=1e-4)


def test_kinds_that_do_not_go_together_are_refused(base, adapters, tmp_path) -> None:
    with pytest.raises(InputError, match="different kinds of adapter: a: peft; b: bottleneck"):
        load_side_by_side({"a": adapters["b"], "b": networks(base, tmp_path / "networks", 0, "n")})


def test_another_base_model_is_refused(adapters, tmp_path) -> None:
    other = write_small_model(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match="different base models"):
        load_side_by_side({"a": adapters["b"], "b": lora(other, tmp_path / "adapter", 4, "o")})


def test_another_quantisation_is_refused(base, adapters, tmp_path) -> None:
    quantised = lora(base, tmp_path / "adapter", 4, "q")
    write_quantization(quantised.path, Quantization())
    with pytest.raises(InputError, match="different quantisations: a: None; b: Quantization"):
        load_side_by_side({"a": adapters["b"], "b": quantised})
