"""Checkpoint -> LanguageModel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from slmcheck.backends.protocol import LanguageModel
from slmcheck.errors import CheckpointError
from slmcheck.records import Checkpoint, DeviceClass

if TYPE_CHECKING:
    from slmcheck.backends.side_by_side import SideBySide


def load(checkpoint: Checkpoint, *, device: DeviceClass = "cpu", threads: int = 1) -> LanguageModel:
    """The model of a checkpoint, in memory and checked.

    Args:
        checkpoint: A model, an adapter with its base model, or an ONNX graph.
        device: Where PyTorch runs; graphs run on the CPU.
        threads: Threads of this process that forward passes may use.

    Raises:
        CheckpointError: If weights are missing, damaged, pickled, or of another model.
        MissingExtraError: If the library that runs it is not installed.
    """
    if checkpoint.kind == "onnx":
        from slmcheck.backends.onnxruntime import load_graph

        return load_graph(checkpoint, threads=threads)
    if checkpoint.kind == "predictions":
        raise CheckpointError(
            f"{checkpoint.path} holds saved predictions, not a model.\nOnly scores of these predictions can be asked."
        )
    from slmcheck.backends.pytorch_loading import load_pytorch

    return load_pytorch(checkpoint, device=device, threads=threads)


def load_merged(checkpoint: Checkpoint, *, threads: int = 1) -> LanguageModel:
    """The model of a checkpoint in float32 on the CPU, an adapter merged into its base model: what an export holds.

    Merging rounds: logits move by 1e-5 to 1e-4, more than an fp32 export does. So an export is compared with the merged
    model, and the merged model with the adapter.

    Raises:
        CheckpointError: If weights are unusable, or the adapter cannot be merged.
    """
    from slmcheck.backends.pytorch_loading import load_pytorch_merged

    return load_pytorch_merged(checkpoint, threads=threads)


def load_side_by_side(
    checkpoints: Mapping[str, Checkpoint], *, device: DeviceClass = "cpu", threads: int = 1
) -> SideBySide:
    """Several adapters on one base model in memory, switched from batch to batch or from row to row.

    Args:
        checkpoints: Adapters by name.
        device: Where they run.
        threads: Threads of this process that may ask at once.

    Raises:
        InputError: If they are no adapters of one base model, or of kinds that cannot stand beside each other.
        CheckpointError: If weights are unusable.
    """
    from slmcheck.backends.side_by_side import SideBySide

    return SideBySide(checkpoints, device=device, threads=threads)


def load_base_alone(checkpoint: Checkpoint, *, device: DeviceClass = "cpu", threads: int = 1) -> LanguageModel:
    """The base model of an adapter without the adapter: quantised where the adapter was trained on it so.

    Args:
        checkpoint: The adapter.
        device: Where it runs.
        threads: Threads of this process that forward passes may use.

    Raises:
        CheckpointError: If its weights are unusable.
    """
    import torch

    from slmcheck.backends.pytorch_loading import engine_of, load_base_of, quiet, ready

    with quiet():
        model = ready(load_base_of(checkpoint, torch.float32, device=device)).to(device)
    return engine_of(checkpoint, model, device=device, threads=threads)
