"""An adapter on its base model, checked to be the adapter that was trained.

peft only warns when weights do not fit, and the model then answers as its base model does. A leaf module: it imports
torch and peft.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel

from slmcheck.backends.base_identity import check_base
from slmcheck.backends.bottleneck import Bottlenecked, is_bottleneck, load_bottlenecks
from slmcheck.backends.checkpoint_files import check_weights
from slmcheck.errors import CheckpointError


def load_adapter(
    adapter: Path, base: PreTrainedModel, *, base_folder: Path, base_name: str, label: str = "default"
) -> PeftModel | Bottlenecked:
    """The base model with the adapter's layers in it; changes `base`.

    Args:
        adapter: Folder with adapter_config.json and adapter_model.safetensors.
        base: The base model, in memory.
        base_folder: Where its weights lie.
        base_name: What the recipe calls it.
        label: What the adapter is called in the model.

    Raises:
        CheckpointError: If adapter weights are missing, damaged, not finite, do not fit the base model, or were trained
            on another.
    """
    check_weights(adapter, "adapter_model")
    check_base(adapter, base_folder, name=base_name)
    if is_bottleneck(adapter):
        networks = Bottlenecked(base)
        load_bottlenecks(adapter, networks, label)
        return networks.eval()
    with _misfits(adapter, base_name):
        config = PeftConfig.from_pretrained(str(adapter))
        model = PeftModel.from_pretrained(base, str(adapter), label, config=config, is_trainable=False)
    _check(adapter, model, base_name, label)
    return model


def add_adapter(adapter: Path, model: PeftModel, *, base_folder: Path, base_name: str, label: str) -> None:
    """Put a further adapter beside those of a model; arguments and errors as of `load_adapter`."""
    check_weights(adapter, "adapter_model")
    check_base(adapter, base_folder, name=base_name)
    with _misfits(adapter, base_name):
        model.load_adapter(str(adapter), label, is_trainable=False)
    _check(adapter, model, base_name, label)


@contextmanager
def _misfits(adapter: Path, base_name: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what peft warns of is checked afterwards
            yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"The adapter {adapter} does not fit base model '{base_name}': {_short(error)}\n"
            "Give the base model that it was trained on (base_model_name_or_path in adapter_config.json)."
        ) from error


def _check(adapter: Path, model: PeftModel, base_name: str, label: str) -> None:
    """Every weight of the file has its place, every weight of the adapter is in the file, and all are numbers."""
    own = get_peft_model_state_dict(model, adapter_name=label, save_embedding_layers=False)
    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        stored = set(file.keys())
    missing = sorted(set(own) - stored)
    surplus = sorted(stored - set(own) - set(model.state_dict()))
    if missing or surplus:
        kinds = ((missing, "missing"), (surplus, "without a place"))
        found = [f"{len(names)} {what}: {names[0]}" for names, what in kinds if names]
        raise CheckpointError(
            f"The weights of adapter {adapter} do not fit base model '{base_name}'.\n"
            f"Of {len(own)} weights {'; '.join(found)}.\n"
            "Give the base model that it was trained on, and the adapter_config.json that was saved with it."
        )
    for name, tensor in own.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"The adapter {adapter} has weights that are not finite: {name}.\n"
                "Its training diverged: lower the learning rate and train again."
            )


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(line.strip() for line in lines[:2])[:300]
