"""A graph that another tool made: where it lies, what it is, and what is known of it without running it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slmcheck.backends.onnx_folder import FACTS, GRAPH, read_facts
from slmcheck.errors import CheckpointError, InputError
from slmcheck.export.keys import library_versions
from slmcheck.records import Checkpoint, Json

ADOPTION_VERSION = 1
"""Changes when the same graph would be taken over otherwise."""
GENAI = "genai_config.json"
"""What makes a folder one of ONNX Runtime GenAI."""


@dataclass(frozen=True)
class ForeignGraph:
    """A graph file and the folder that it came in."""

    file: Path
    genai: Path | None = None
    """The GenAI folder, where it is one."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that belongs to it: the graph, and what a GenAI folder holds or the files with its weights."""
        if self.genai is not None:
            return tuple(sorted(one for one in self.genai.iterdir() if one.is_file()))
        beside = sorted(one for one in self.file.parent.iterdir() if one.is_file() and one != self.file)
        return (self.file, *(one for one in beside if one.name.startswith(self.file.stem)))


def foreign_graph(path: Path) -> ForeignGraph:
    """The graph of a file or folder.

    Raises:
        InputError: If there is none, or several.
        CheckpointError: If genai_config.json cannot be read.
    """
    if path.is_file():
        if path.suffix == ".onnx" or path.name == GRAPH:
            return ForeignGraph(path.resolve())
        raise InputError(f"'{path}' is no ONNX graph.\nGive an .onnx file, a folder with one, or a GenAI folder.")
    if not path.is_dir():
        raise InputError(f"There is no graph at '{path}'.\nGive an .onnx file, a folder with one, or a GenAI folder.")
    if (path / GENAI).is_file():
        name = decoder_of(path).get("filename")
        if not isinstance(name, str) or not (path / name).is_file():
            raise CheckpointError(
                f"{GENAI} names the graph {name!r}, which is not there.\nIn {path}.\n"
                "Copy the whole folder: configuration and graph belong together."
            )
        return ForeignGraph((path / name).resolve(), path.resolve())
    if (path / FACTS).is_file():
        read_facts(path)  # whose files are as they were written
    graphs = sorted(path.glob("*.onnx"))
    if len(graphs) != 1:
        names = ", ".join(one.name for one in graphs[:5]) or "no .onnx file"
        raise InputError(f"Folder '{path}' has {names}.\nName the graph: --onnx {path}/FILE.onnx")
    return ForeignGraph(graphs[0].resolve())


def decoder_of(folder: Path) -> Mapping[str, Json]:
    """The part of genai_config.json that describes the graph.

    Raises:
        CheckpointError: If it cannot be read.
    """
    try:
        config = json.loads((folder / GENAI).read_text(encoding="utf-8"))
        decoder: Mapping[str, Json] = config["model"]["decoder"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder / GENAI} cannot be read: {error}.\n"
            "Build the folder again: python -m onnxruntime_genai.models.builder"
        ) from error
    return decoder


def adoption_inputs(checkpoint: Checkpoint, found: ForeignGraph, file_digest: Callable[[Path], str]) -> Json:
    """The inputs of the key of a graph that was taken over: the checkpoint, and the content of every file."""
    return {
        "checkpoint": checkpoint.key,
        "exporter": "another tool",
        "version": ADOPTION_VERSION,
        "graph": file_digest(found.file),
        "files": {one.name: file_digest(one) for one in found.files},
        "genai": found.genai is not None,
    }


def precision_of_folder(folder: Path) -> str:
    """The precision that the description of an exported folder states."""
    return read_facts(folder).precision


def adopt(checkpoint: Checkpoint, found: ForeignGraph, directory: Path) -> None:
    """Put a graph that another tool made of a checkpoint into a folder that is asked like an export.

    Raises:
        CheckpointError: If the graph is damaged, cannot be loaded, or is not called as the checkpoint's model is.
        MissingExtraError: If a library is not installed.
    """
    library_versions()
    from slmcheck.export.adopting import write_adopted

    directory.mkdir(parents=True, exist_ok=True)
    write_adopted(checkpoint, found, directory)


def genai_folder(path: Path) -> Path | None:
    """The GenAI folder of a path; None where it is none."""
    return path.resolve() if path.is_dir() and (path / GENAI).is_file() else None
