"""What stands beside an exported graph: enough to load it without torch, and to see that no byte changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slmcheck.errors import CheckpointError, StoreError
from slmcheck.records import from_json, to_json
from slmcheck.storage.files import sha256_of_file

GRAPH = "model.onnx"
DATA = "model.onnx.data"
"""Weights beside the graph, where they are too large for one file."""
FACTS = "export.json"


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """Facts of an exported graph."""

    format: int = 1
    precision: str
    source_key: str
    """Key of the checkpoint that it was made from."""
    vocabulary_size: int
    context_tokens: int | None = None
    eos_ids: tuple[int, ...]
    opset: int
    ir: int
    nodes: int
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the precision."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the libraries that made it."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each file."""
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of graph and weights."""
        return self.sizes[GRAPH] + self.sizes.get(DATA, 0)


def write_facts(folder: Path, facts: GraphFacts) -> None:
    """Put the facts beside the graph."""
    (folder / FACTS).write_text(json.dumps(to_json(facts), indent=1) + "\n", encoding="utf-8")


def read_facts(folder: Path) -> GraphFacts:
    """The facts of an exported graph, whose files are as they were written.

    Raises:
        CheckpointError: If the folder is no export, or a file is missing or changed.
    """
    file = folder / FACTS
    if not file.is_file():
        raise CheckpointError(
            f"{folder} is no exported model: it has no {FACTS}.\n"
            "Expected a folder that slmcheck export wrote.\nExport the run again: slmcheck export RUN DIR"
        )
    try:
        facts = from_json(GraphFacts, json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, StoreError) as error:
        raise CheckpointError(
            f"{file} cannot be read: {error}\nExport the run again: slmcheck export RUN DIR"
        ) from error
    for name, expected in facts.sha256.items():
        _check_file(folder / name, facts.sizes[name], expected)
    return facts


def _check_file(file: Path, size: int, sha256: str) -> None:
    """Onnxruntime reads changed weights without a word, so the content is compared."""
    if not file.is_file():
        raise CheckpointError(
            f"{file.name} is missing.\nIn {file.parent}.\n"
            "Copy the whole folder: a graph and its weights belong together."
        )
    found = file.stat().st_size
    if found != size or sha256_of_file(file) != sha256:
        raise CheckpointError(
            f"{file.name} is damaged: {found} bytes, {size} were written, or their content differs.\n"
            f"In {file.parent}.\nCopy it again, or export again; in the store: slmcheck cache verify"
        )
