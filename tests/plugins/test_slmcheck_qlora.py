"""The contract on QLoRA, and what only QLoRA promises."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from slmcheck_qlora import QloraTrainer

from slmcheck.backends import PaddedBatch, load, load_merged
from slmcheck.backends.quantized import Quantization, load_quantized
from slmcheck.errors import MissingExtraError, RecipeError
from slmcheck.export import to_onnx
from slmcheck.records import Checkpoint, DataSpec, DeviceClass, Recipe
from slmcheck.testing import TrainerContract, write_small_model
from slmcheck.testing.trainer_contract import examples, mean_nll
from slmcheck.training import TrainingJob, adapter_checkpoint, prepare_in_child, read_history

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None,
    reason="bitsandbytes is not installed: pip install 'slmcheck[qlora]'",
)


class TestQloraTrainer(TrainerContract):
    trainer = QloraTrainer
    start_tolerance = 1e-2
    options: ClassVar = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1}
    wrong_options = ({"r": 0}, {"lora_alpha": 0}, {"target_modules": []}, {"bnb_4bit_quant_type": "int4"})


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def recipe(base_model) -> Recipe:
    return Recipe(
        name="suite/qlora",
        base_model=str(base_model),
        task="classification",
        trainer="qlora",
        data=DataSpec(text_template="Thing: {thing}\nColour: {colour}", answer="colour"),
        options={"r": 4},
        learning_rate=2e-2,
        max_steps=6,
        eval_steps=6,
    )


@pytest.fixture
def train(recipe, base_model, tmp_path):
    """Trains six updates: `train(optim="sgd")` takes fields of the recipe, `prepared` and `device`."""

    def run(prepared: Path | None = None, device: DeviceClass = "cpu", **fields):
        job = TrainingJob(
            recipe=replace(recipe, **fields),
            train=examples(16),
            validation=examples(8, start=16),
            base_model=str(base_model),
            prepared_base=prepared,
            output_dir=tmp_path / f"work-{prepared is None}" / "publish",
            device=device,
            log_step=lambda point: None,
        )
        return job, QloraTrainer().train(job)

    return run


@pytest.fixture(scope="module")
def quantised(base_model):
    """The base model in four bits, in memory."""
    return load_quantized(str(base_model), Quantization(), trust_remote_code=False).eval()


IDS = torch.arange(3, 60)[None]


def logits(model) -> np.ndarray:
    batch = PaddedBatch.of([IDS[0].tolist()], pad_id=0, pad_left=False)
    return model.logits(batch)[0]


def test_an_evaluation_does_not_change_the_gradients(quantised) -> None:
    # With the packing of bitsandbytes on, the cosine is .27 on processors with AVX512-bf16.
    embeddings = quantised.get_input_embeddings().weight

    def gradient() -> torch.Tensor:
        embeddings.requires_grad_(True)
        embeddings.grad = None
        quantised(IDS, labels=IDS).loss.backward()
        return embeddings.grad.flatten().clone()

    before = gradient()
    with torch.no_grad():
        quantised.eval()(IDS)
    assert float(torch.nn.functional.cosine_similarity(before, gradient(), dim=0)) > 0.99999


def test_training_starts_at_the_quantised_base_model(train, quantised) -> None:
    job, checkpoint = train()
    first = read_history(job.output_dir / "history.jsonl")[0].validation_loss
    assert mean_nll(replace(checkpoint, path=_untrained(checkpoint)), job) == pytest.approx(first, rel=1e-6)


def _untrained(checkpoint) -> Path:
    """The adapter with the weights that it had before training: no effect."""
    folder = shutil.copytree(checkpoint.path, checkpoint.path.parent / "untrained")
    weights = load_file(folder / "adapter_model.safetensors")
    zeros = {name: value * 0 if ".lora_B." in name else value for name, value in weights.items()}
    save_file(zeros, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_base_quantised_before_gives_the_same_adapter_bit_for_bit(train, recipe, base_model, tmp_path) -> None:
    folder = prepare_in_child(recipe, tmp_path / "prepare", base_model=str(base_model), device="cpu")
    _, direct = train()
    job, prepared = train(prepared=folder)
    weights = "adapter_model.safetensors"
    assert (prepared.path / weights).read_bytes() == (direct.path / weights).read_bytes()
    assert prepared.key == direct.key
    assert "quantised once, in a process of its own; that took" in (job.output_dir / "history.jsonl").read_text()


def test_the_adapter_merges_into_the_base_that_it_was_trained_on(train, base_model) -> None:
    _, checkpoint = train()
    beside, merged = logits(load(checkpoint)), logits(load_merged(checkpoint))
    assert np.abs(beside - merged).max() < 1e-4 * beside.std()
    plain = replace(checkpoint, path=_without_quantisation(checkpoint))
    assert np.abs(beside - logits(load_merged(plain))).max() > 1e-3 * beside.std()  # the base before it was quantised


def _without_quantisation(checkpoint) -> Path:
    folder = shutil.copytree(checkpoint.path, checkpoint.path.parent / "plain")
    (folder / "quantization.json").unlink()
    return folder


@pytest.mark.slow
def test_the_exported_graph_is_the_merged_model(train, tmp_path) -> None:
    _, checkpoint = train()
    to_onnx(checkpoint, tmp_path / "onnx")
    graph = load(Checkpoint(kind="onnx", path=tmp_path / "onnx", key="graph"))
    merged = logits(load_merged(checkpoint))
    assert np.abs(logits(graph) - merged).max() < 1e-4 * merged.std()


def test_the_key_knows_how_the_base_was_quantised(train) -> None:
    _, checkpoint = train()
    plain = adapter_checkpoint(_without_quantisation(checkpoint), base_model=checkpoint.base_model)
    assert plain.key != checkpoint.key


def test_a_paged_optimizer_is_replaced_where_there_is_no_gpu(train) -> None:
    job, _ = train(optim="paged_adamw_32bit")
    assert (
        "is for GPUs; on cpu this run was trained with adamw_torch_fused"
        in (job.output_dir / "history.jsonl").read_text()
    )


def test_a_device_without_four_bits_is_refused(recipe, base_model, tmp_path) -> None:
    with pytest.raises(RecipeError, match="device 'mps' does not compute in four bits"):
        QloraTrainer().prepare_base(recipe, str(base_model), "mps", tmp_path)


def test_a_missing_library_is_named_with_its_extra(recipe, monkeypatch) -> None:
    monkeypatch.setattr("slmcheck_qlora.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'slmcheck\[qlora\]'"):
        QloraTrainer().check(recipe)


def test_a_name_that_no_layer_has_is_refused(train) -> None:
    with pytest.raises(RecipeError, match=r"options.target_modules names 'query', but no layer of"):
        train(options={"r": 4, "target_modules": ["query"]})


@pytest.mark.slow
def test_four_bit_floats_train_too(train) -> None:
    job, checkpoint = train(options={"r": 4, "bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": False})
    last = read_history(job.output_dir / "history.jsonl")[-1]
    assert mean_nll(checkpoint, job) == pytest.approx(last.validation_loss, rel=1e-4)
