"""What an export is named by, told without torch."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from slmcheck.errors import MissingExtraError
from slmcheck.export.precisions import precision_of
from slmcheck.records import Checkpoint, Json

CACHE_VERSION = 1
"""Changes when the same checkpoint would be exported to another graph."""
OPSET = 20
LIBRARIES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")
"""The libraries that write a graph."""


def export_inputs(checkpoint: Checkpoint, precision: str) -> Json:
    """The inputs of an export's key: the checkpoint, the exporter, the precision with its settings.

    Library versions are recorded in the export and are no part of its key, so that an export is found on a machine
    without torch.

    Raises:
        ExportError: If the precision is unknown.
    """
    return {
        "checkpoint": checkpoint.key,
        "exporter": "torch.onnx.export",
        "version": CACHE_VERSION,
        "opset": OPSET,
        "precision": precision,
        "settings": dict(precision_of(precision).settings),
    }


def exported_checkpoint(folder: Path, key: str, precision: str) -> Checkpoint:
    """The checkpoint of an exported folder.

    Args:
        folder: Where `to_onnx` wrote.
        key: Digest of `export_inputs`.
        precision: Of the export.
    """
    return Checkpoint(kind="onnx", path=folder, key=key, precision=precision)


def library_versions() -> dict[str, str]:
    """Full versions of the libraries that write a graph.

    Raises:
        MissingExtraError: If one is not installed.
    """
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError as error:
            raise MissingExtraError(
                f"Exporting to ONNX needs {name}, which is not installed.\n"
                "Install it: pip install 'slmcheck[train,onnx]'"
            ) from error
    return found
