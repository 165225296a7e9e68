"""A graph with LoRA weights as inputs, answering with one adapter file of its folder, or as its base model.

onnxruntime ignores an adapter where tensors are bound to buffers, takes the first of two without a word, and runs with
a file that lacks layers. So: one adapter, plain calls, and a file whose tensors are the graph's. A leaf module: it
imports onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from slmcheck.backends.environment import expected_environment
from slmcheck.backends.onnx_folder import GRAPH, read_facts
from slmcheck.backends.onnx_session import open_session
from slmcheck.backends.onnxruntime import OnnxModel
from slmcheck.backends.protocol import LanguageModel
from slmcheck.data.tokenizers import read_tokenizer
from slmcheck.errors import CheckpointError
from slmcheck.records import Checkpoint
from slmcheck.storage import digest

FOLDER, SUFFIX = "adapters", ".onnx_adapter"


class AdapterSession:
    """A session whose every call is made with one adapter, or with none."""

    def __init__(self, session: ort.InferenceSession, adapter: ort.LoraAdapter | None) -> None:
        self._session, self._adapter = session, adapter

    def run(self, names: Sequence[str], feeds: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """As of a session."""
        options = ort.RunOptions()
        if self._adapter is not None:
            options.add_active_adapter(self._adapter)
        found: list[NDArray[np.generic]] = self._session.run(list(names), dict(feeds), options)
        return found

    def get_inputs(self) -> list[ort.NodeArg]:
        """The inputs that a caller gives."""
        found: list[ort.NodeArg] = self._session.get_inputs()
        return found

    def get_outputs(self) -> list[ort.NodeArg]:
        """As of a session."""
        found: list[ort.NodeArg] = self._session.get_outputs()
        return found


def adapter_session(folder: Path, name: str | None) -> AdapterSession:
    """A session of the graph in a folder with one of its adapters; None answers as the base model.

    Raises:
        CheckpointError: If there is no such adapter, or its tensors are not the graph's inputs.
    """
    session = open_session(folder / GRAPH)
    if name is None:
        return AdapterSession(session, None)
    file = folder / FOLDER / f"{name}{SUFFIX}"
    if not file.is_file():
        known = ", ".join(sorted(one.name.removesuffix(SUFFIX) for one in (folder / FOLDER).glob(f"*{SUFFIX}")))
        raise CheckpointError(f"There is no adapter '{name}' in {folder}.\nAdapters: {known or 'none'}.")
    check_tensors(file, session)
    adapter = ort.LoraAdapter()
    adapter.Load(str(file))
    return AdapterSession(session, adapter)


def check_tensors(file: Path, session: ort.InferenceSession) -> None:
    """Raise unless an adapter file holds exactly the tensors that the graph takes.

    Raises:
        CheckpointError: Names what is missing and what has no place: onnxruntime runs without missing layers.
    """
    try:
        found = set(ort.AdapterFormat.read_adapter(str(file)).get_parameters())
    except Exception as error:  # the library raises bare exceptions for a file that it cannot read
        raise CheckpointError(f"{file.name} cannot be read: {str(error).splitlines()[0]}\nExport it again.") from error
    expected = {one.name for one in session.get_overridable_initializers()}
    missing, surplus = sorted(expected - found), sorted(found - expected)
    if missing or surplus:
        parts = [
            f"{len(names)} {what}: {names[0]}"
            for names, what in ((missing, "missing"), (surplus, "without a place"))
            if names
        ]
        raise CheckpointError(
            f"{file.name} does not belong to this graph.\nOf {len(expected)} tensors {'; '.join(parts)}.\n"
            "Export graph and adapters together: slmcheck export RUN DIR --adapters RUN"
        )


def load_adapted(checkpoint: Checkpoint, name: str | None, *, threads: int = 1) -> LanguageModel:
    """The graph of an exported folder with one of its adapters, as any model: to be asked and compared.

    Args:
        checkpoint: The folder.
        name: Of the adapter; None answers as the base model.
        threads: Threads of this process that may ask it.

    Raises:
        CheckpointError: If files are missing or damaged, or the adapter is another graph's.
    """
    facts, key = read_facts(checkpoint.path), digest("adapter", {"graph": checkpoint.key, "adapter": name})
    return OnnxModel(
        adapter_session(checkpoint.path, name),
        read_tokenizer(checkpoint.path),
        facts,
        checkpoint_key=key,
        environment=expected_environment(replace(checkpoint, key=key), device="cpu", threads=threads),
    )
