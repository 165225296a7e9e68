"""A graph file -> a session of onnxruntime, with every doubt an error that says what to do.

onnxruntime reads zeroed weights, negative ids and a missing provider without a word, and names the lines of its own
source for the rest. A leaf module: it imports onnx and onnxruntime.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort

from slmcheck.errors import CheckpointError

CPU = "CPUExecutionProvider"
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_IR = re.compile(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)")
_OPSET = re.compile(r"Opset (\d+) is under development.*?till opset (\d+)", re.DOTALL)
_OPERATOR = re.compile(r"No Op registered for (\S+)|Fatal error: (\S+?)\(-?\d+\) is not a registered")
_DOMAIN = re.compile(r"No opset import for domain '([^']*)'")
_KERNEL = re.compile(r"NOT_IMPLEMENTED : Could not find an implementation for (\S+)")


@dataclass(frozen=True)
class GraphFile:
    """What the file of a graph says of itself."""

    path: Path
    graph: onnx.ModelProto
    """Without the weights that lie in other files."""
    data: tuple[Path, ...]
    """The files that hold the others."""


def read_graph(path: Path) -> GraphFile:
    """The graph of a file, whose weights are all there.

    Raises:
        CheckpointError: If the file is missing, empty, cut or no graph, or a file with weights is missing or short.
    """
    if not path.is_file():
        raise CheckpointError(
            f"There is no graph {path}.\nExpected an .onnx file.\nExport the run again: slmcheck export RUN DIR"
        )
    size = path.stat().st_size
    try:
        model = onnx.load(str(path), load_external_data=False) if size else onnx.ModelProto()
    except Exception as error:  # protobuf's own, whose module has no types
        raise _damaged(path, f"its {size:,} bytes are no whole graph") from error
    if not model.graph.node:
        raise _damaged(path, "it is empty" if not size else f"its {size:,} bytes hold no node")
    return GraphFile(path, model, _data_files(path, model))


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path.name} is damaged: {what}.\nIn {path.parent}.\n"
        "Copy it again, or export again; in the store: slmcheck cache verify"
    )


def _data_files(path: Path, model: onnx.ModelProto) -> tuple[Path, ...]:
    """Files with weights beside a graph, each as long as the graph says."""
    needed: dict[Path, int] = {}
    for tensor in model.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entry = {one.key: one.value for one in tensor.external_data}
        file = path.parent / entry["location"]
        if not file.resolve().is_relative_to(path.parent.resolve()):
            raise CheckpointError(
                f"{path.name} keeps weights in {entry['location']}, outside its folder.\nIn {path.parent}.\n"
                "Save graph and weights into one folder."
            )
        end = int(entry.get("offset", 0)) + int(entry.get("length", 0))
        needed[file] = max(needed.get(file, 0), end)
    for file, length in needed.items():
        if not file.is_file():
            raise CheckpointError(
                f"{file.name} is missing: {path.name} keeps its weights there.\nIn {path.parent}.\n"
                "Copy both files: a graph and its weights belong together."
            )
        if file.stat().st_size < length:
            raise CheckpointError(
                f"{file.name} is damaged: {file.stat().st_size:,} bytes, {path.name} reads {length:,} of it.\n"
                f"In {path.parent}.\nCopy both files again: a graph and its weights belong together."
            )
    return tuple(needed)


def open_session(graph: Path, *, provider: str = CPU, threads: int = 1) -> ort.InferenceSession:
    """A session that runs where it should.

    Args:
        graph: The file.
        provider: Where it runs.
        threads: Threads of one call.

    Raises:
        CheckpointError: If onnxruntime cannot read the graph, or does not run it where it should.
    """
    if provider not in ort.get_available_providers():
        raise CheckpointError(
            f"onnxruntime {ort.__version__} has no provider {provider}.\n"
            f"It has: {', '.join(ort.get_available_providers())}.\n"
            "Without it a graph would run on the CPU and nobody would know: install the build of onnxruntime for it."
        )
    read_graph(graph)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what is checked below
            session = ort.InferenceSession(str(graph), options, providers=[provider])
    except Exception as error:  # the library's own exceptions share no base class
        raise CheckpointError(_explained(graph, str(error))) from error
    if session.get_providers()[0] != provider:
        raise CheckpointError(f"onnxruntime runs {graph} on {session.get_providers()} instead of {provider}.")
    return session


def _explained(graph: Path, message: str) -> str:
    """What is wrong with a graph that onnxruntime refuses, and what to do."""
    where, runtime = f"In {graph.parent}.", f"onnxruntime {ort.__version__}"
    if found := _IR.search(message):
        return (
            f"{graph.name} needs ONNX IR version {found[1]}; {runtime} knows {found[2]}.\n{where}\n"
            "Upgrade onnxruntime, or export again with this version."
        )
    if found := _OPSET.search(message):
        return (
            f"{graph.name} needs opset {found[1]}; {runtime} knows {found[2]}.\n{where}\n"
            "Upgrade onnxruntime, or export again with an older opset."
        )
    if found := _OPERATOR.search(message):
        return (
            f"{graph.name} uses the operator {found[1] or found[2]}, which {runtime} does not have.\n{where}\n"
            "Upgrade onnxruntime, or install the library of custom operators that it was exported for."
        )
    if found := _DOMAIN.search(message):
        return (
            f"{graph.name} uses operators of the domain '{found[1]}', which it does not import.\n{where}\n"
            "The exporter left the import out: export again."
        )
    if found := _KERNEL.search(message):
        return (
            f"{runtime} has no CPU kernel for {found[1]} of {graph.name}.\n{where}\n"
            "bf16 graphs run on other providers only: export as fp32, fp16, int8 or int4."
        )
    return (
        f"{runtime} cannot load {graph.name}: {message.strip().splitlines()[0]}\n{where}\n"
        "If it was exported for a newer onnxruntime, upgrade; else copy or export it again."
    )
