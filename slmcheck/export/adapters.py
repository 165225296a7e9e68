"""One graph of a base model with LoRA weights as inputs, and an `.onnx_adapter` file for each adapter.

Without an adapter the graph is the base model: the inputs have a default of zeros. A leaf module: it imports torch,
transformers, peft, onnx and onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from peft import PeftModel
from transformers import DynamicCache

from slmcheck.backends.onnx_adapters import FOLDER, SUFFIX, adapter_session
from slmcheck.backends.pytorch_loading import load_tokenizer, load_with_adapter, quiet
from slmcheck.errors import ExportError, InputError
from slmcheck.export.carrying_out import LARGEST_DIFFERENCE, copy_beside, describe, facts_of, save
from slmcheck.export.graph import Step, convert, sample_inputs, tensor_names
from slmcheck.export.precisions import Precision
from slmcheck.export.quantizing import quantized
from slmcheck.records import Checkpoint

PEFT_PREFIX = "base_model.model."
Weights = dict[str, torch.Tensor]


class LoraStep(torch.nn.Module):  # type: ignore[misc]  # torch is not typed here
    """One call of a model with its past and the weights of an adapter as plain tensors."""

    def __init__(self, adapted: PeftModel) -> None:
        super().__init__()
        self.adapted = adapted
        self.cache_name = Step(adapted.get_base_model()).cache_name

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        past: list[tuple[torch.Tensor, torch.Tensor]],
        lora: Weights,
    ) -> tuple[torch.Tensor, ...]:
        """Logits, then keys and values of every layer."""
        cache = DynamicCache()
        for layer, (key, value) in enumerate(past):
            cache.update(key, value, layer)
        weights = {PEFT_PREFIX + name: value for name, value in lora.items()}
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "position_ids": position_ids,
            "use_cache": True,
            self.cache_name: cache,
        }
        outputs = torch.func.functional_call(self.adapted, weights, (), inputs)
        return (outputs.logits, *(tensor for layer in cache.layers for tensor in (layer.keys, layer.values)))


def write_adapters(
    checkpoints: Mapping[str, Checkpoint], directory: Path, precision: Precision, versions: Mapping[str, str]
) -> None:
    """Export the base model with LoRA weights as inputs, and write one file for each adapter.

    Args:
        checkpoints: Adapters of one base model, by the name of their file.
        directory: The graph is written as model.onnx, the adapters below `adapters/`.
        precision: Of the base model's weights; adapters stay in fp32.
        versions: Of the libraries, for the record.

    Raises:
        InputError: If they are no LoRA adapters of one base model on the same layers.
        ExportError: If graph and adapters answer otherwise than PyTorch, or the graph without one otherwise than the
            base model.
    """
    loaded = {name: _load(name, one) for name, one in checkpoints.items()}
    first = next(iter(loaded.values()))
    shared = _shared_names(loaded)
    _check_base(loaded)
    graph = quantized(_exported(first, shared), precision)
    add_defaults(graph)
    source = next(iter(checkpoints.values()))
    facts = facts_of(first.get_base_model(), load_tokenizer(source), graph, source, precision, versions)
    save(graph, directory)
    (directory / FOLDER).mkdir(exist_ok=True)
    files = [directory / FOLDER / f"{name}{SUFFIX}" for name in loaded]
    for file, adapted in zip(files, loaded.values(), strict=True):
        write_adapter(file, _arrays(adapted, first, shared))
    for name, adapted in loaded.items():
        _check(directory, name, adapted, exact=precision.name == "fp32")
    with first.disable_adapter():
        _check(directory, None, first, exact=precision.name == "fp32")
    describe(directory, facts, [*copy_beside(source, directory), *files])


def write_adapter(file: Path, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Write tensors as a file that onnxruntime reads as an adapter."""
    form = ort.AdapterFormat()
    form.set_adapter_version(1)
    form.set_model_version(1)
    form.set_parameters({name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()})
    form.export_adapter(str(file))


def lora_weights(adapted: PeftModel) -> Weights:
    """The weights of an adapter by the name of their input: without PEFT's prefix."""
    return {
        name.removeprefix(PEFT_PREFIX): value.detach()
        for name, value in adapted.named_parameters()
        if ".lora_A." in name or ".lora_B." in name
    }


def scale_of(adapted: PeftModel, name: str) -> float:
    """What PEFT multiplies the product of an adapter's two matrices by."""
    module = adapted.get_submodule(PEFT_PREFIX + name.partition(".lora_")[0])
    scaling: dict[str, float] = module.scaling
    return float(scaling[adapted.active_adapter])


def _load(name: str, checkpoint: Checkpoint) -> PeftModel:
    if checkpoint.kind != "adapter":
        raise InputError(
            f"Run '{name}' has no adapter: its weights are a whole model.\n"
            "Adapters that are switched per call are LoRA adapters of one base model: use trainer lora."
        )
    with quiet():
        adapted = load_with_adapter(checkpoint, torch.float32, plain=True)
    if not isinstance(adapted, PeftModel):
        raise InputError(
            f"The adapter of run '{name}' is a {type(adapted).__name__}, not LoRA's two matrices a layer.\n"
            "Only those can be inputs of a graph: export this run alone, without --adapters."
        )
    adapted.eval().requires_grad_(False)
    config = adapted.peft_config[adapted.active_adapter]
    special = [one for one in ("use_dora", "lora_bias", "modules_to_save") if getattr(config, one, None)]
    if str(config.peft_type.value) != "LORA" or special or getattr(config, "bias", "none") != "none":
        what = ", ".join(special) or f"peft_type {config.peft_type.value}, bias {getattr(config, 'bias', 'none')}"
        raise InputError(
            f"The adapter of run '{name}' has more than LoRA's two matrices a layer: {what}.\n"
            "Only those can be inputs of a graph: export this run merged, without --adapters."
        )
    return adapted


def _shared_names(loaded: Mapping[str, PeftModel]) -> list[str]:
    """Names of the inputs: the same for every adapter, or there is no one graph."""
    names = {name: set(lora_weights(adapted)) for name, adapted in loaded.items()}
    first_name, first = next(iter(names.items()))
    for name, own in names.items():
        if own != first:
            differing = sorted(own ^ first)
            raise InputError(
                f"The adapters of '{first_name}' and '{name}' change different layers: {len(differing)} weights "
                f"differ, {differing[0]} among them.\nOne graph needs one list of layers: train them with the same "
                "target_modules."
            )
    return sorted(first)


def _check_base(loaded: Mapping[str, PeftModel]) -> None:
    """Raise unless all adapters stand on the same weights: those of a QLoRA run were trained on a rounded base."""
    first_name, first = next(iter(loaded.items()))
    weights = {name: value for name, value in first.named_parameters() if ".lora_" not in name}
    for name, adapted in loaded.items():
        own = {key: value for key, value in adapted.named_parameters() if ".lora_" not in key}
        differing = [key for key in weights if key not in own or not torch.equal(own[key], weights[key])]
        if differing:
            raise InputError(
                f"The adapters of '{first_name}' and '{name}' stand on different base weights: {len(differing)} of "
                f"{len(weights)} differ.\nOne of them was trained on a quantised base model.\n"
                "One graph holds one base: export them apart, or train both with one trainer."
            )


def _arrays(adapted: PeftModel, first: PeftModel, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """The tensors of an adapter file: the scale of the graph is that of `first`, so B carries the quotient."""
    weights = lora_weights(adapted)
    found = {}
    for name in names:
        array = weights[name].numpy().astype(np.float32)
        if ".lora_B." in name:
            array = array * np.float32(scale_of(adapted, name) / scale_of(first, name))
        found[name] = np.ascontiguousarray(array)
    return found


def _exported(adapted: PeftModel, names: Sequence[str]) -> onnx.ModelProto:
    model = adapted.get_base_model()
    sample, weights = sample_inputs(model), lora_weights(adapted)
    dynamic = torch.export.Dim.DYNAMIC
    layers = len(sample.past)
    free, free_past = {0: dynamic, 1: dynamic}, {0: dynamic, 2: dynamic}
    shapes = {
        "input_ids": free,
        "attention_mask": free,
        "position_ids": free,
        "past": [(free_past, free_past)] * layers,
        "lora": {name: {0 if ".lora_A." in name else 1: dynamic} for name in names},
    }
    inputs, outputs = tensor_names(layers)
    keywords = {**sample.keywords(), "lora": {name: _of_rank(weights[name], name) for name in names}}
    return convert(LoraStep(adapted).eval(), keywords, shapes, [*inputs, *names], outputs, type(model).__name__)


def add_defaults(graph: onnx.ModelProto) -> None:
    """Zeros for the weights of an adapter where a call brings none; after quantising, which would round them."""
    for value in graph.graph.input:
        if ".lora_" in value.name:
            sizes = [size.dim_value or 1 for size in value.type.tensor_type.shape.dim]
            graph.graph.initializer.append(numpy_helper.from_array(np.zeros(sizes, np.float32), value.name))


def _of_rank(weight: torch.Tensor, name: str, rank: int = 7) -> torch.Tensor:
    """A weight of another shape than any adapter's, so that the rank is not taken for a constant."""
    rows, columns = weight.shape
    return torch.zeros((rank, columns) if ".lora_A." in name else (rows, rank))


def _check(directory: Path, name: str | None, adapted: PeftModel, *, exact: bool) -> None:
    """The graph with an adapter file gives numbers, and where `exact`, PyTorch's logits, one row of them padded."""
    model = adapted.get_base_model()
    sample = sample_inputs(model)
    sample.attention_mask[0, :2] = 0
    sample.position_ids[0] -= 2
    with torch.no_grad():
        expected = Step(model)(**sample.keywords())[0].numpy()
    inputs, _ = tensor_names(len(sample.past))
    past = [one for pair in sample.past for one in pair]
    tensors = [sample.input_ids, sample.attention_mask, sample.position_ids, *past]
    session = adapter_session(directory, name)
    found = session.run(["logits"], {key: value.numpy() for key, value in zip(inputs, tensors, strict=True)})[0]
    difference = float(np.abs(found - expected).max() / expected.std())
    if not np.isfinite(difference) or (exact and difference > LARGEST_DIFFERENCE):
        raise ExportError(
            f"The graph {f'with adapter {name!r}' if name else 'without adapter'} answers otherwise than PyTorch: "
            f"logits are {difference:.2g} of their spread off.\n"
            f"In {directory}; at most {LARGEST_DIFFERENCE:g} is rounding."
        )
