"""The contract on bottleneck adapters and methods of peft, and what each of them promises."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from slmcheck_adapters import AdaptersTrainer
from slmcheck_adapters.methods import METHODS
from slmcheck_adapters.peft_fields import fields_of

from slmcheck.backends import PaddedBatch, load, load_merged
from slmcheck.backends.pytorch_loading import load_base, load_with_adapter
from slmcheck.errors import CheckpointError, RecipeError
from slmcheck.export import to_onnx
from slmcheck.records import Checkpoint, DataSpec, Recipe
from slmcheck.testing import TrainerContract, write_small_model
from slmcheck.testing.trainer_contract import examples, mean_nll
from slmcheck.training import TrainingJob, read_history

SMALL = {
    "dora": {"r": 4},
    "rslora": {"r": 4},
    "pissa": {"r": 4},
    "olora": {"r": 4},
    "vera": {"r": 16},
    "prompt": {"num_virtual_tokens": 4},
    "prefix": {"num_virtual_tokens": 4},
}
"""Options that suit a model of width 32."""
RATE = {"vera": 0.1, "ia3": 0.1, "prompt": 0.1, "prefix": 0.1, "boft": 0.03, "oft": 0.03}
NEARLY = ("pissa", "olora")
"""Methods that take the base weights apart first, so that they start at the base model but for rounding."""
MERGED = [name for name, method in METHODS.items() if not method.is_prompt]
PROMPTS = [name for name, method in METHODS.items() if method.is_prompt]


class TestBottleneck(TrainerContract):
    trainer = AdaptersTrainer
    options: ClassVar = {"method": "bottleneck", "bottleneck": {"size": 8, "dropout": 0.1}}
    wrong_options = ({"method": "lroa"}, {"peft": {"r": 4}})


@pytest.mark.long
@pytest.mark.slow
class TestDora(TrainerContract):
    trainer = AdaptersTrainer
    options: ClassVar = {"method": "dora", "peft": {"r": 4, "lora_dropout": 0.1}}
    wrong_options = ({"peft": {"rr": 4}},)


@pytest.mark.long
@pytest.mark.slow
class TestPrompt(TrainerContract):
    trainer = AdaptersTrainer
    options: ClassVar = {"method": "prompt", "peft": {"num_virtual_tokens": 4}}
    learning_rate = 1.0
    start_tolerance = 1.0
    least_gain = 0.02


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def recipe(base_model) -> Recipe:
    return Recipe(
        name="suite/adapters",
        base_model=str(base_model),
        task="classification",
        trainer="adapters",
        data=DataSpec(text_template="Thing: {thing}\nColour: {colour}", answer="colour"),
        learning_rate=1e-2,
        per_device_train_batch_size=8,
        max_steps=6,
        eval_steps=6,
    )


@pytest.fixture(scope="module")
def train(recipe, base_model, tmp_path_factory):
    """Trains six updates with options: `train(method="dora", peft={...})`; equal calls are trained once."""
    made = {}

    def run(rate=1e-2, checkpointing=False, **options):
        name = repr((rate, checkpointing, options))
        if name not in made:
            job = TrainingJob(
                recipe=replace(recipe, options=options, learning_rate=rate, gradient_checkpointing=checkpointing),
                train=examples(24),
                validation=examples(8, start=24),
                base_model=str(base_model),
                output_dir=tmp_path_factory.mktemp("work") / "publish",
                device="cpu",
                log_step=lambda point: None,
            )
            made[name] = job, AdaptersTrainer().train(job)
        return made[name]

    return run


@pytest.fixture(scope="module")
def trained(train):
    """A training of a method with options that suit the small model."""
    return lambda method: train(method=method, peft=SMALL.get(method, {}), rate=RATE.get(method, 1e-2))


def losses(job) -> dict[int, float]:
    points = read_history(job.output_dir / "history.jsonl")
    return {point.step: point.validation_loss for point in points if point.validation_loss is not None}


def logits(model) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = [rng.integers(3, 259, size=size).tolist() for size in (5, 12)]
    found = model.logits(PaddedBatch.of(rows, pad_id=0, pad_left=False))
    return np.concatenate(found)


def base_nll(job) -> float:
    return mean_nll(Checkpoint(kind="model", path=Path(job.base_model), key=""), job)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("method", MERGED)
def test_a_method_starts_at_the_base_model(trained, method) -> None:
    job, _ = trained(method)
    assert losses(job)[0] == pytest.approx(base_nll(job), rel=1e-4 if method in NEARLY else 1e-6)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_method_learns_and_reloads_as_it_was_trained(trained, method) -> None:
    job, checkpoint = trained(method)
    found = losses(job)
    assert found[6] < found[0] - 0.005
    assert mean_nll(checkpoint, job) == pytest.approx(found[6], rel=1e-4)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("method", MERGED)
def test_a_method_merges(trained, method) -> None:
    _, checkpoint = trained(method)
    beside, merged = logits(load(checkpoint)), logits(load_merged(checkpoint))
    assert np.abs(beside - merged).max() <= 1e-4 * max(1.0, beside.std())


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_no_check_of_the_model_finds_a_fault(trained, method) -> None:
    job, _ = trained(method)
    text = (job.output_dir / "history.jsonl").read_text()
    assert '"kind":"finding"' not in text.replace(" ", "")


# Small networks


IDS = torch.arange(3, 40)[None]


@pytest.mark.parametrize("form", ["serial", "parallel"])
def test_networks_start_as_the_base_model_bit_for_bit_and_change_it_afterwards(train, base_model, form) -> None:
    _, checkpoint = train(method="bottleneck", bottleneck={"form": form})
    base = load_base(str(base_model), torch.float32, False).eval()
    adapted = load_with_adapter(checkpoint, torch.float32)
    with torch.no_grad():
        expected, found = base(IDS).logits, adapted(IDS).logits
        with adapted.disable_adapter():
            disabled = adapted(IDS).logits
    assert torch.equal(disabled, expected)
    assert not torch.equal(found, expected)


def test_networks_save_their_own_weights_only(train) -> None:
    _, checkpoint = train(method="bottleneck", bottleneck={"placement": "pfeiffer", "size": 4})
    tensors = load_file(checkpoint.path / "adapter_model.safetensors")
    assert len(tensors) == 2 * 4  # one network a layer: two ways with a bias each
    assert all(".mlp." in name for name in tensors)


def test_activation_checkpointing_gives_the_same_networks(train) -> None:
    _, plain = train(method="bottleneck", bottleneck={"size": 4})
    _, checkpointed = train(checkpointing=True, method="bottleneck", bottleneck={"size": 4})
    expected = load_file(plain.path / "adapter_model.safetensors")
    for name, tensor in load_file(checkpointed.path / "adapter_model.safetensors").items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.slow
def test_networks_are_in_the_exported_graph(train, tmp_path) -> None:
    _, checkpoint = train(method="bottleneck", bottleneck={"size": 4})
    to_onnx(checkpoint, tmp_path / "onnx")
    graph = load(Checkpoint(kind="onnx", path=tmp_path / "onnx", key="graph"))
    expected = logits(load(checkpoint))
    assert np.abs(logits(graph) - expected).max() < 1e-4 * expected.std()


def test_a_module_that_no_layer_has_is_refused_with_the_names_there_are(train) -> None:
    with pytest.raises(RecipeError, match=r"names 'attn', which no layer has.\nModules of its layers: input_layernorm"):
        train(method="bottleneck", bottleneck={"modules": ["attn"]})


def test_networks_of_another_model_are_refused(train, tmp_path) -> None:
    _, checkpoint = train(method="bottleneck", bottleneck={"size": 4})
    other = write_small_model(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match="trained on other weights"):
        load(replace(checkpoint, base_model=str(other)))


def test_damaged_networks_are_refused(train, tmp_path) -> None:
    _, checkpoint = train(method="bottleneck", bottleneck={"size": 4})
    folder = shutil.copytree(checkpoint.path, tmp_path / "damaged")
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors.pop(min(tensors))
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"do not fit its configuration.\nMissing: model.layers.0"):
        load(replace(checkpoint, path=folder))


# Virtual tokens


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("method", PROMPTS)
def test_virtual_tokens_have_no_merge_and_no_export(trained, method) -> None:
    _, checkpoint = trained(method)
    with pytest.raises(CheckpointError, match=r"virtual tokens, which cannot be merged[\s\S]*no ONNX export"):
        load_merged(checkpoint)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("method", PROMPTS)
def test_rows_do_not_see_each_other_behind_virtual_tokens(trained, method) -> None:
    _, checkpoint = trained(method)
    model = load(checkpoint)
    rows = [[5, 6, 7, 8], [9, 10, 11, 12, 13, 14, 15, 16]]
    together = model.logits(PaddedBatch.of(rows, pad_id=0, pad_left=False))
    for row, found in zip(rows, together, strict=True):
        (alone,) = model.logits(PaddedBatch.of([row], pad_id=0, pad_left=False))
        np.testing.assert_allclose(found, alone, atol=1e-4)
    decoder = model.decoder(rows=2, length=16)
    first = decoder.add([row[:-1] for row in rows])
    np.testing.assert_allclose(first[0], together[0][-2], atol=1e-4)
    np.testing.assert_allclose(decoder.step(np.asarray([row[-1] for row in rows]))[1], together[1][-1], atol=1e-4)


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "dorra"}, r"options.method is 'dorra'; did you mean 'dora'\?"),
        ({"method": "adalora"}, "options.method is 'adalora'; peft's own layers fail while they train"),
        ({"method": "lora"}, "use trainer: lora"),
        ({"method": "vera", "peft": {"d_inital": 0.1}}, r"no field of peft's VeraConfig; did you mean 'd_initial'\?"),
        ({"method": "dora", "peft": {"r": "8"}}, "options.peft.r is '8'; expected a whole number"),
        ({"method": "dora", "peft": {"use_dora": False}}, "method 'dora' is use_dora: True"),
        ({"method": "dora", "peft": {"init_lora_weights": False}}, "starts elsewhere than at the base model"),
        ({"method": "dora", "peft": {"eva_config": {"rho": 1.0}}}, "takes an object of Python"),
        ({"method": "oft", "peft": {"bias": "some"}}, "expected none or all or oft_only"),
        ({"method": "ia3", "peft": {"task_type": "CAUSAL_LM"}}, "follows from the base model and the recipe"),
        ({"method": "prompt", "peft": {"num_virtual_tokens": 0}}, "num_virtual_tokens is 0; expected at least 1"),
        ({"method": "ia3", "bottleneck": {"size": 4}}, "options.bottleneck is for method bottleneck"),
        ({"peft": {"r": 4}}, "options.peft is for the methods of peft"),
        ({"bottleneck": {"size": 0}}, "options.bottleneck.size is 0"),
    ],
)
def test_a_wrong_option_is_refused_before_training(recipe, options, message) -> None:
    with pytest.raises(RecipeError, match=message):
        AdaptersTrainer().check(replace(recipe, options=options))


def test_a_prefix_does_not_go_with_activation_checkpointing(recipe) -> None:
    with pytest.raises(RecipeError, match="gradient_checkpointing is true"):
        AdaptersTrainer().check(replace(recipe, options={"method": "prefix"}, gradient_checkpointing=True))


@pytest.mark.parametrize("method", METHODS)
def test_every_field_that_is_read_is_one_of_peft(method) -> None:
    own = METHODS[method]
    config = getattr(import_module(f"peft.{own.module}"), own.config)
    assert set(fields_of(own)) == {field.name for field in dataclasses.fields(config) if field.init}


def test_a_layer_name_of_a_peft_method_must_match(train) -> None:
    with pytest.raises(RecipeError, match=r"options.peft.target_modules names 'query'"):
        train(method="vera", peft={"target_modules": ["q_proj", "query"]})


def test_a_pattern_that_matches_nothing_is_refused(train) -> None:
    with pytest.raises(RecipeError, match="peft refuses its options"):
        train(method="dora", peft={"target_modules": "nothing.*"})
