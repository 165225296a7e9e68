"""Adapters of one base model as one graph: what its key is made of, and how it is made; no torch before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from slmcheck.errors import ExportError, InputError
from slmcheck.export.keys import export_inputs, library_versions
from slmcheck.export.precisions import precision_of
from slmcheck.records import Checkpoint, Json

ADAPTERS_VERSION = 1
"""Changes when the same adapters would be exported to another folder."""
PRECISIONS = ("fp32", "int8", "int8-dynamic", "int4")
"""Precisions of the base model whose graph still takes fp32 adapters."""


def adapters_inputs(checkpoints: Mapping[str, Checkpoint], precision: str) -> Json:
    """The inputs of the key of a graph with adapters.

    Raises:
        InputError: If the adapters have several base models.
        ExportError: If the precision is unknown, or not one for adapters.
    """
    if precision_of(precision).name not in PRECISIONS:
        raise ExportError(
            f"A graph with adapters cannot be exported as {precision}.\nAvailable: {', '.join(PRECISIONS)}.\n"
            "Adapters stay in fp32; the precision is that of the base model."
        )
    bases = {name: checkpoint.base_model for name, checkpoint in checkpoints.items()}
    if len(set(bases.values())) > 1:
        listed = "; ".join(f"{name}: {base or 'none'}" for name, base in bases.items())
        raise InputError(f"The runs have several base models: {listed}.\nOne graph holds one base model.")
    return {
        "kind": "adapters",
        "version": ADAPTERS_VERSION,
        "adapters": {name: checkpoint.key for name, checkpoint in checkpoints.items()},
        "graph": export_inputs(next(iter(checkpoints.values())), precision),
    }


def adapters_to_onnx(checkpoints: Mapping[str, Checkpoint], directory: Path, precision: str = "fp32") -> None:
    """Export LoRA adapters of one base model: its graph with LoRA weights as inputs, and a file for each adapter.

    The folder gets model.onnx, the tokenizer, export.json and `adapters/NAME.onnx_adapter`. A call without an adapter
    answers as the base model does.

    Args:
        checkpoints: Adapters by the name of their file.
        directory: A folder to write into; made if it is not there.
        precision: Of the base model's weights: fp32, int8, int8-dynamic or int4.

    Raises:
        InputError: If they are no LoRA adapters of one base model on the same layers.
        ExportError: If the graph answers otherwise than PyTorch.
        MissingExtraError: If a library is not installed.
    """
    adapters_inputs(checkpoints, precision)
    wanted, versions = precision_of(precision), library_versions()
    from slmcheck.export.adapters import write_adapters

    directory.mkdir(parents=True, exist_ok=True)
    write_adapters(checkpoints, directory, wanted, versions)
