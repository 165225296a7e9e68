"""Base models in four bits: what an adapter was trained on, loaded so that it answers and trains as it should.

A leaf module: it imports torch and transformers; bitsandbytes is imported when a model is loaded.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel

from slmcheck.backends.pytorch_loading import load_base, quiet
from slmcheck.errors import CheckpointError, MissingExtraError
from slmcheck.records import DeviceClass

FILE = "quantization.json"
"""Beside `adapter_config.json` of an adapter that was trained on a quantised base model."""
DEVICES: tuple[DeviceClass, ...] = ("cpu", "cuda")
"""Where bitsandbytes computes in four bits."""


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How the linear layers of a base model, its head excluded, are stored."""

    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    """The 16 values that a weight may have: those of a normal distribution, or of a float with four bits."""
    bnb_4bit_use_double_quant: bool = True
    """Whether the scales of the blocks of 64 weights are quantised too."""


def require_bitsandbytes() -> None:
    """Raise unless bitsandbytes is installed.

    Raises:
        MissingExtraError: If it is not.
    """
    if find_spec("bitsandbytes") is None:
        raise MissingExtraError(
            "A base model in four bits needs bitsandbytes, which is not installed.\n"
            "Install it: pip install 'slmcheck[qlora]'"
        )


def write_quantization(adapter: Path, quantization: Quantization) -> None:
    """Write down beside an adapter how its base model was quantised."""
    (adapter / FILE).write_text(json.dumps(asdict(quantization), indent=1) + "\n", encoding="utf-8")


def read_quantization(adapter: Path) -> Quantization | None:
    """How the base model of an adapter was quantised; None where it was not.

    Raises:
        CheckpointError: If the record cannot be read.
    """
    file = adapter / FILE
    if not file.is_file():
        return None
    try:
        return Quantization(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{file} cannot be read: {error!r}.\nCopy the adapter again, or train again.") from error


def load_quantized(
    source: str,
    quantization: Quantization,
    *,
    trust_remote_code: bool,
    device: DeviceClass = "cpu",
    compute: torch.dtype = torch.float32,
) -> PreTrainedModel:
    """A causal language model with its linear layers in four bits, on its device.

    Args:
        source: Folder or hub id of the base model, or a folder of weights that were quantised before.
        quantization: How to store the weights.
        trust_remote_code: Whether code of the model may run.
        device: Quantising and computing are done there.
        compute: What weights are unfolded to for a product; the layers that are not quantised have it too.

    Raises:
        MissingExtraError: If bitsandbytes is not installed.
        CheckpointError: If the weights are unusable, or the device does not compute in four bits.
    """
    require_bitsandbytes()
    if device not in DEVICES:
        raise CheckpointError(
            f"Device '{device}' does not compute in four bits ({quantization.bnb_4bit_quant_type}).\n"
            f"Devices that do: {', '.join(DEVICES)}.\nChoose one with --slm-device, or use trainer lora."
        )
    placed: dict[str, object] = {"device_map": {"": device}}
    if not _is_quantized(source):
        settings = asdict(quantization)
        placed["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_compute_dtype=compute, **settings
        )
    with quiet():
        model = load_base(source, compute, trust_remote_code, placed=placed)
    disable_packing(model)
    return model


def _is_quantized(source: str) -> bool:
    """Whether a folder holds weights that were quantised before; they are loaded as they are."""
    config = Path(source) / "config.json"
    return config.is_file() and "quantization_config" in json.loads(config.read_text(encoding="utf-8"))


def disable_packing(model: torch.nn.Module) -> None:
    """Keep weights as they are stored.

    On a processor with AVX512-bf16 the first forward pass in evaluation mode would rearrange them for speed: from then
    on gradients are wrong, unfolding is lossy, and odd sizes fail.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def dequantized(model: PreTrainedModel) -> PreTrainedModel:
    """The model with every quantised weight unfolded to float32: the same numbers in plain layers; changes `model`.

    What an adapter is merged into: merging into four bits would round again, and the base model before it was quantised
    is not the one that the adapter was trained on.
    """
    with quiet():
        plain = model.dequantize(dtype=torch.float32)
    for name in ("is_loaded_in_4bit", "is_quantized"):
        setattr(plain, name, False)  # peft would look for four-bit layers where this says so
    plain.config.__dict__.pop("quantization_config", None)
    return plain.float()
