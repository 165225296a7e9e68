"""An adapter on its base model, checked to be the adapter that was trained.

peft only warns when weights do not fit, and the model then answers as its base model does. A leaf module: it imports
torch and peft.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel

from slmcheck.backends.base_identity import check_base
from slmcheck.backends.checkpoint_files import check_weights
from slmcheck.errors import CheckpointError


def load_adapter(adapter: Path, base: PreTrainedModel, *, base_folder: Path, base_name: str) -> PeftModel:
    """The base model with the adapter's layers in it; changes `base`.

    Args:
        adapter: Folder with adapter_config.json and adapter_model.safetensors.
        base: The base model, in memory.
        base_folder: Where its weights lie.
        base_name: What the recipe calls it.

    Raises:
        CheckpointError: If adapter weights are missing, damaged, not finite, do not fit the base model, or were trained
            on another.
    """
    check_weights(adapter, "adapter_model")
    check_base(adapter, base_folder, name=base_name)
    try:
        config = PeftConfig.from_pretrained(str(adapter))
        _check_method(adapter, config)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what peft warns of is checked below
            model = PeftModel.from_pretrained(base, str(adapter), config=config, is_trainable=False)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"The adapter {adapter} does not fit base model '{base_name}': {_short(error)}\n"
            "Give the base model that it was trained on (base_model_name_or_path in adapter_config.json)."
        ) from error
    _check_keys(adapter, model, base_name)
    _check_finite(adapter, model)
    return model


def _check_method(adapter: Path, config: PeftConfig) -> None:
    if config.is_prompt_learning:
        raise CheckpointError(
            f"The adapter {adapter} learns virtual tokens (peft_type {config.peft_type.value}).\n"
            "Supported are adapters that change layers: LORA, IA3, OFT, VERA and the like."
        )


def _check_keys(adapter: Path, model: PeftModel, base_name: str) -> None:
    """Every weight of the file has its place, and every weight of the adapter is in the file."""
    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        stored = set(file.keys())
    expected = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    missing = sorted(expected - stored)
    surplus = sorted(stored - expected - set(model.state_dict()))
    if missing or surplus:
        kinds = ((missing, "missing"), (surplus, "without a place"))
        found = [f"{len(names)} {what}: {names[0]}" for names, what in kinds if names]
        raise CheckpointError(
            f"The weights of adapter {adapter} do not fit base model '{base_name}'.\n"
            f"Of {len(expected)} weights {'; '.join(found)}.\n"
            "Give the base model that it was trained on, and the adapter_config.json that was saved with it."
        )


def _check_finite(adapter: Path, model: PeftModel) -> None:
    for name, tensor in get_peft_model_state_dict(model, save_embedding_layers=False).items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"The adapter {adapter} has weights that are not finite: {name}.\n"
                "Its training diverged: lower the learning rate and train again."
            )


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(line.strip() for line in lines[:2])[:300]
