"""Trained weights of a checkpoint back into the model, with every doubt an error.

A leaf module: it imports safetensors at its top and is itself imported only by the loop.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from transformers import PreTrainedModel

from slmcheck.backends.bottleneck import WEIGHTS, Bottlenecked
from slmcheck.errors import CheckpointError
from slmcheck.training.committed import is_committed


def load_weights(model: PreTrainedModel | Bottlenecked, folder: Path) -> None:
    """Put the weights of a committed checkpoint into the model.

    Raises:
        CheckpointError: If files differ from what was committed, or weights do not fit the model.
    """
    if not is_committed(folder):
        raise CheckpointError(
            f"The best checkpoint of this training is damaged: {folder}.\n"
            f"Its files differ from what was committed.\nDelete {folder.parent} and train again."
        )
    if isinstance(model, Bottlenecked):
        missing, surplus = model.load_tensors("default", load_file(folder / WEIGHTS))
    else:
        missing, surplus = _load_adapter(model, folder) if hasattr(model, "peft_config") else _load_model(model, folder)
    if missing or surplus:
        raise CheckpointError(
            f"The best checkpoint does not fit the model: {folder}.\n"
            f"Missing: {', '.join(missing) or 'none'}. Without a place: {', '.join(surplus) or 'none'}."
        )


def _load_adapter(model: PreTrainedModel, folder: Path) -> tuple[list[str], list[str]]:
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    saved = load_file(folder / "adapter_model.safetensors")
    expected = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    set_peft_model_state_dict(model, saved)
    return sorted(expected - set(saved)), sorted(set(saved) - expected - set(model.state_dict()))


def _load_model(model: PreTrainedModel, folder: Path) -> tuple[list[str], list[str]]:
    saved = {}
    for file in sorted(folder.glob("model*.safetensors")):
        saved.update(load_file(file))
    outcome = model.load_state_dict(saved, strict=False)
    loaded = {id(weight) for name, weight in model.state_dict(keep_vars=True).items() if name in saved}
    untied = [name for name in outcome.missing_keys if id(model.state_dict(keep_vars=True)[name]) not in loaded]
    return untied, list(outcome.unexpected_keys)
