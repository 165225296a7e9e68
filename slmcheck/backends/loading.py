"""Checkpoint -> LanguageModel."""

from __future__ import annotations

from slmcheck.backends.protocol import LanguageModel
from slmcheck.errors import CheckpointError
from slmcheck.records import Checkpoint, DeviceClass


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
