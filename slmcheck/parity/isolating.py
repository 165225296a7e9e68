"""A graph cut at its modules: each segment reads PyTorch's own activations, so that only a wrong one is off.

A leaf module: it imports onnx and onnxruntime.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from slmcheck.errors import CheckpointError, PredictionError
from slmcheck.parity.feeds import Feed
from slmcheck.parity.recording import Recording
from slmcheck.parity.segments import Segment

REFERENCE = "__reference"
TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}
LARGE = 1_500_000_000
"""Bytes of weights beyond which a graph is handed to onnxruntime as files."""

Values = Mapping[str, NDArray[np.generic]]


def run_graph(model: onnx.ModelProto, feeds: Values, outputs: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """Run a graph with the least optimisation and give some of its tensors."""
    session = open_session(model)
    asked = {one.name for one in session.get_inputs()}
    found = session.run(list(outputs), {name: value for name, value in feeds.items() if name in asked})
    return dict(zip(outputs, found, strict=True))


def open_session(model: onnx.ModelProto, *, optimised: bool = False) -> ort.InferenceSession:
    """A session of one thread.

    Raises:
        CheckpointError: If onnxruntime does not take the graph.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_ENABLE_BASIC
    providers = ["CPUExecutionProvider"]
    try:
        if sum(len(one.raw_data) for one in model.graph.initializer) < LARGE:
            return ort.InferenceSession(model.SerializeToString(), options, providers=providers)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "graph.onnx"
            copy = onnx.ModelProto()
            copy.CopyFrom(model)  # saving moves the weights out of the graph that is saved
            onnx.save(copy, path, save_as_external_data=True, location="graph.data", size_threshold=1024)
            return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # the library's own exceptions share no base class
        raise CheckpointError(
            f"onnxruntime {ort.__version__} cannot run the graph: {str(error).strip().splitlines()[0]}\n"
            "A fault is located by running the graph in parts.\nExport the run again: slmcheck export RUN DIR"
        ) from error


def exposed(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The graph with more tensors as outputs."""
    copy = _shallow(model)
    present = {one.name for one in copy.graph.output}
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in present)
    return copy


def cut(model: onnx.ModelProto, segments: Sequence[Segment], dtypes: Mapping[str, str]) -> onnx.ModelProto:
    """The graph whose segments read inputs in place of each other's outputs.

    Args:
        model: The graph.
        segments: Where to cut.
        dtypes: Data type of each of their tensors.
    """
    kept = [one for one in segments if dtypes[one.tensor] in TYPES]
    copy = exposed(model, list(dict.fromkeys(one.tensor for one in kept)))
    own = {one.tensor: one for one in kept if not one.misread}
    for place, node in enumerate(copy.graph.node):
        for number, name in enumerate(node.input):
            other = next((one for one in kept if one.tensor == name and place in one.readers), own.get(name))
            if other is not None:
                node.input[number] = reference_name(other)
    copy.graph.input.extend(
        helper.make_tensor_value_info(reference_name(one), TYPES[dtypes[one.tensor]], None) for one in kept
    )
    return copy


def reference_name(segment: Segment) -> str:
    """The input through which PyTorch's activation enters a graph that was cut."""
    return f"{segment.tensor}{REFERENCE}" + (f"_{segment.place}" if segment.misread else "")


def inputs_of(model: onnx.ModelProto, feed: Feed) -> dict[str, NDArray[np.generic]]:
    """What the graph reads for a call.

    Raises:
        PredictionError: If it reads something else than ids, mask, positions and a past.
    """
    given: dict[str, NDArray[np.generic]] = {
        "input_ids": feed.ids,
        "attention_mask": feed.mask,
        "position_ids": feed.positions,
        "token_type_ids": np.zeros_like(feed.ids),
    }
    weights = {one.name for one in model.graph.initializer}
    found = {}
    for value in model.graph.input:
        if value.name in weights:
            continue
        if value.name in given:
            integer = np.int32 if value.type.tensor_type.elem_type == TensorProto.INT32 else np.int64
            found[value.name] = given[value.name].astype(integer)
        elif value.name.startswith("past_key_values."):
            found[value.name] = _past_of(value, feed)
        else:
            raise PredictionError(
                f"The graph reads an input '{value.name}' that is not known.\n"
                "Expected input_ids, attention_mask, position_ids, past_key_values.0.key and so on.\n"
                "Rename the input, or export the run again: slmcheck export RUN DIR"
            )
    return found


def relative_error(reference: NDArray[np.generic], found: NDArray[np.generic], attended: NDArray[np.bool_]) -> float:
    """Norm of the difference over the norm of the reference, where tokens stand; inf where shapes differ.

    Args:
        reference: PyTorch's tensor.
        found: The graph's.
        attended: Where tokens stand; shape (rows, tokens). Applied to the axis that holds tokens, if one does.
    """
    if reference.shape != found.shape:
        return float("inf")
    one, other = (_attended(array.astype(np.float64), attended) for array in (reference, found))
    norm, difference = float(np.linalg.norm(one)), float(np.linalg.norm(one - other))
    if norm == 0:
        return 0.0 if difference == 0 else float("inf")
    return difference / norm


def references(segments: Sequence[Segment], recorded: Recording, dtypes: Mapping[str, str]) -> Values:
    """PyTorch's activations as inputs of a graph that was cut."""
    found = {}
    for segment in segments:
        reference = segment.reference(recorded)
        if reference is not None and dtypes[segment.tensor] in TYPES:
            found[reference_name(segment)] = reference.astype(dtypes[segment.tensor])
    return found


def _attended(array: NDArray[np.float64], attended: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows, tokens = attended.shape
    if array.shape[0] == rows * tokens:
        return array[attended.reshape(-1)]
    axes = [axis for axis in range(1, array.ndim) if array.shape[axis] == tokens]
    if not axes or array.shape[0] not in (1, rows):
        return array
    moved = np.moveaxis(array, axes[0], 1)
    return moved[attended] if array.shape[0] == rows else moved[:, attended.any(axis=0)]


def _past_of(value: onnx.ValueInfoProto, feed: Feed) -> NDArray[np.generic]:
    _, layer, kind = value.name.split(".")
    dtype = np.float16 if value.type.tensor_type.elem_type == TensorProto.FLOAT16 else np.float32
    if feed.past is not None:
        return feed.past[int(layer)][0 if kind == "key" else 1].astype(dtype)
    sizes = [one.dim_value for one in value.type.tensor_type.shape.dim]
    return np.zeros((len(feed.ids), sizes[1], 0, sizes[3]), dtype=dtype)


def _shallow(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
