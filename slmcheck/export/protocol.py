"""What an exporter plugin offers, found by name in the entry-point group `slmcheck.exporters`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from slmcheck.discovery import EXPORTERS, find_plugin
from slmcheck.export.keys import export_inputs, library_versions
from slmcheck.export.precisions import precision_of
from slmcheck.export.writing import carry_out
from slmcheck.records import Checkpoint, Json

ONNX = "onnx"
"""The exporter that is used where none is named."""


class Exporter(Protocol):
    """Turns a checkpoint into a folder with a graph and everything that stands beside it.

    The module that defines one imports the standard library and slmcheck only; what it needs for its work it imports
    inside `export`, so that keys are made without torch.
    """

    def inputs(self, checkpoint: Checkpoint, precision: str) -> Json:
        """What the key of an export is the digest of: checkpoint, exporter with its version, precision, settings.

        Raises:
            ExportError: If the exporter has no such precision.
        """
        ...

    def export(self, checkpoint: Checkpoint, directory: Path, precision: str) -> None:
        """Write model.onnx, the tokenizer and export.json (`slmcheck.backends.onnx_folder`) into a folder.

        Raises:
            CheckpointError: If the checkpoint cannot be loaded.
            ExportError: If no usable graph came out; what counts is the file, not what a tool said of it.
            MissingExtraError: If a library is not installed.
        """
        ...


class OnnxExporter:
    """One graph of plain operators that reads prompts and writes on, for every runtime of ONNX."""

    def inputs(self, checkpoint: Checkpoint, precision: str) -> Json:
        """See `Exporter`."""
        return export_inputs(checkpoint, precision)

    def export(self, checkpoint: Checkpoint, directory: Path, precision: str) -> None:
        """See `Exporter`."""
        wanted, versions = precision_of(precision), library_versions()
        carry_out(checkpoint, directory, wanted, versions)


def find_exporter(name: str = ONNX) -> Exporter:
    """The exporter of a name.

    Raises:
        UnknownPluginError: If none of that name is installed.
    """
    found = cast("type[Exporter]", find_plugin(EXPORTERS, name))
    return found()
