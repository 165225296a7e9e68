"""Whether the weights that a command left were trained at all.

A leaf module: it imports torch and safetensors at its top and is itself imported only in the training process.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

from slmcheck.backends.checkpoint_files import weight_files
from slmcheck.backends.pytorch_loading import folder_of


def weights_problem(folder: Path, base_model: str, *, is_adapter: bool) -> str | None:
    """Why trained weights cannot be right, in a sentence; None where nothing speaks against them."""
    files = weight_files(folder, "adapter_model" if is_adapter else "model")
    broken, silent, seen = [], 0, 0
    for file in files:
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no mapping)
                tensor = tensors.get_tensor(name)
                if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                    broken.append(name)
                if is_adapter and "lora_B" in name:
                    seen, silent = seen + 1, silent + (not bool(tensor.any()))
    if broken:
        return f"the command left weights that are NaN or infinite: {', '.join(broken[:3])}."
    if seen and silent == seen:
        return "the command left an adapter that does nothing: each lora_B is zero, as before the first update."
    if not is_adapter and _equals(files, folder_of(base_model)):
        return "the command left the weights of the base model: nothing was trained."
    return None


def _equals(files: list[Path], base: Path) -> bool:
    """Whether weights are those of the base model, tensor by tensor."""
    own, other = _tensors(files), _tensors(weight_files(base, "model"))
    if own.keys() != other.keys():
        return False
    return all(_same(own[name], other[name], name) for name in own)


def _tensors(files: list[Path]) -> dict[str, Path]:
    found = {}
    for file in files:
        with safe_open(file, "pt") as tensors:
            found |= dict.fromkeys(tensors.keys(), file)
    return found


def _same(one: Path, other: Path, name: str) -> bool:
    with safe_open(one, "pt") as left, safe_open(other, "pt") as right:
        a, b = left.get_tensor(name), right.get_tensor(name)
    return a.shape == b.shape and bool(torch.equal(a.to(torch.float32), b.to(torch.float32)))
