"""A checkpoint as a folder with an ONNX graph: merged, exported, quantised, checked, described."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from slmcheck.export.keys import export_inputs, exported_checkpoint, library_versions
from slmcheck.export.precisions import Precision, precision_of
from slmcheck.records import Checkpoint
from slmcheck.storage import digest


def carry_out(checkpoint: Checkpoint, directory: Path, precision: Precision, versions: Mapping[str, str]) -> None:
    """Export with what suits the architecture: a language model with its past, or a plain classifier."""
    directory.mkdir(parents=True, exist_ok=True)
    if checkpoint.kind == "model" and _is_classifier(checkpoint.path / "config.json"):
        from slmcheck.export.encoder import write_classifier

        write_classifier(checkpoint, directory, precision, versions)
        return
    from slmcheck.export.carrying_out import write_export

    write_export(checkpoint, directory, precision, versions)


def _is_classifier(config_file: Path) -> bool:
    """Whether a model folder holds a model with a classification head."""
    if not config_file.is_file():
        return False
    architectures = json.loads(config_file.read_text(encoding="utf-8")).get("architectures") or []
    return any(str(name).endswith("ForSequenceClassification") for name in architectures)


def to_onnx(checkpoint: Checkpoint, directory: Path, precision: str = "fp32") -> Checkpoint:
    """Export a model, or an adapter merged into its base model in fp32, to one ONNX graph.

    The folder gets model.onnx (weights of more than 1 GB beside it in model.onnx.data), the tokenizer, config.json and
    export.json. The same checkpoint and library versions give the same bytes.

    Args:
        checkpoint: A model or an adapter.
        directory: A folder to write into; made if it is not there.
        precision: One of `PRECISIONS`.

    Returns:
        The checkpoint of the folder.

    Raises:
        CheckpointError: If the checkpoint cannot be loaded.
        ExportError: If no usable graph came out: it does not load, has other names, or answers otherwise.
        MissingExtraError: If a library is not installed.
    """
    wanted = precision_of(precision)
    versions = library_versions()
    carry_out(checkpoint, directory, wanted, versions)
    return exported_checkpoint(directory, digest("export", export_inputs(checkpoint, precision)), precision)
