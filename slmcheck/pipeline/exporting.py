"""Checkpoint -> ONNX checkpoint: exported here, or made by another tool and taken over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from slmcheck import export as exporting
from slmcheck.errors import OfflineMissError
from slmcheck.export.adapter_graphs import adapters_inputs, adapters_to_onnx
from slmcheck.records import Checkpoint, Json, RunRecord
from slmcheck.storage import digest
from slmcheck.workspace import Workspace


def export(record: RunRecord, precision: str, workspace: Workspace, *, exporter: str = exporting.ONNX) -> Checkpoint:
    """A run's checkpoint as an ONNX graph: from the store, or exported now.

    Args:
        record: The run.
        precision: Of the exported weights.
        workspace: Where exports are kept.
        exporter: Name of the exporter plugin.

    Raises:
        UnknownPluginError: If there is no such exporter.
        OfflineMissError: If it would have to be exported and the session is offline.
        ExportError: If no usable graph came out.
    """
    plugin = exporting.find_exporter(exporter)
    inputs = plugin.inputs(record.checkpoint, precision)

    def make(folder: Path) -> None:
        plugin.export(record.checkpoint, folder, precision)

    return _found_or_made(f"{precision} export of '{record.name}'", inputs, make, precision, workspace)


def export_adapters(checkpoints: Mapping[str, Checkpoint], precision: str, workspace: Workspace) -> Checkpoint:
    """Adapters of one base model as one graph and a file for each: from the store, or exported now.

    Args:
        checkpoints: Adapters by the name of their file.
        precision: Of the base model's weights.
        workspace: Where exports are kept.

    Raises:
        InputError: If they are no LoRA adapters of one base model on the same layers.
        OfflineMissError: If it would have to be exported and the session is offline.
        ExportError: If no usable graph came out.
    """
    inputs = adapters_inputs(checkpoints, precision)

    def make(folder: Path) -> None:
        adapters_to_onnx(checkpoints, folder, precision)

    return _found_or_made(f"{precision} graph of {len(checkpoints)} adapters", inputs, make, precision, workspace)


def _found_or_made(
    what: str, inputs: Json, make: Callable[[Path], None], precision: str, workspace: Workspace
) -> Checkpoint:
    key = digest("export", inputs)
    found = workspace.store.find_export(key)
    if found is None:
        if workspace.offline:
            raise OfflineMissError(
                f"The store has no {what}, and this session is offline.\n"
                f"Key {key[:12]}, store {workspace.store.root}.\n"
                "Export it where models may be loaded (run the suite without --slm-offline) and bring the store here."
            )
        with workspace.store.lock(f"export-{key}"), workspace.store.slot("cpu"):
            found = workspace.store.find_export(key)
            if found is None:
                with workspace.store.scratch(key) as folder:
                    make(folder)
                    found = workspace.store.publish_export(key, folder, inputs)
    return exporting.exported_checkpoint(found, key, precision)


def adopt(record: RunRecord, path: Path, workspace: Workspace, *, precision: str | None = None) -> Checkpoint:
    """A graph that another tool made of a run's checkpoint, as a checkpoint that is asked like an export.

    The store keeps a copy with the run's tokenizer, under the digest of its content: what is judged later is what was
    there now.

    Args:
        record: The run.
        path: An .onnx file, a folder with one, a GenAI folder, or a folder that `slmcheck export` wrote.
        workspace: Where it is kept.
        precision: Whose tolerances hold; None reads it from the weights.

    Raises:
        InputError: If there is no graph.
        CheckpointError: If it is damaged, or is not called as the checkpoint's model is.
    """
    found = exporting.foreign_graph(path)
    inputs = exporting.adoption_inputs(record.checkpoint, found, workspace.store.file_digest)
    key = digest("export", inputs)
    folder = workspace.store.find_export(key)
    if folder is None:
        store = workspace.store
        with store.lock(f"export-{key}"), store.slot("cpu"), store.scratch(key) as scratch:
            exporting.adopt(record.checkpoint, found, scratch)
            folder = store.publish_export(key, scratch, inputs)
    return exporting.exported_checkpoint(folder, key, precision or exporting.precision_of_folder(folder))
