"""The quantised weights of a graph, with the step of every value. A leaf module: it imports onnx."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from slmcheck.parity.scopes import UNKNOWN, ModuleMap

INTEGER_PRODUCTS = ("MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")


@dataclass(frozen=True, eq=False)
class QuantisedWeight:
    """A matrix as the graph computes with it."""

    initializer: str
    value: NDArray[np.float64]
    """Dequantised, as PyTorch stores it; shape (out, in)."""
    step: NDArray[np.float64]
    """Distance of two neighbouring values; broadcasts to the shape of `value`."""


def quantised_weights(graph: onnx.GraphProto, modules: Mapping[str, str]) -> dict[str, QuantisedWeight]:
    """Quantised matrices by the path of the module that reads them.

    Args:
        graph: The graph.
        modules: Module of every tensor, as the graph had it before it was quantised; see `modules_of_tensors`.
    """
    arrays = {one.name: one for one in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type == "MatMulNBits":
            path = modules.get(node.output[0], UNKNOWN)
            if path != UNKNOWN:
                found[path] = _blocks(node, arrays)
        elif node.op_type in INTEGER_PRODUCTS and (packed := _channels(node, arrays)) is not None:
            path = modules.get(node.output[0].removesuffix("_output_quantized"), UNKNOWN)
            if path != UNKNOWN:
                found[path] = packed
        elif node.op_type == "Gather" and (rows := _rows(node, arrays)) is not None:
            path = modules.get(node.output[0].removesuffix("_quantized"), UNKNOWN)
            if path != UNKNOWN:
                found[path] = rows
    return found


def modules_of_tensors(graph: onnx.GraphProto, modules: ModuleMap) -> dict[str, str]:
    """The module that makes each tensor of a graph."""
    return {name: modules.modules[place] for place, node in enumerate(graph.node) for name in node.output if name}


def _blocks(node: onnx.NodeProto, arrays: Mapping[str, onnx.TensorProto]) -> QuantisedWeight:
    """MatMulNBits: blocks along the input, a scale each, zero point in the middle unless given."""
    settings = {one.name: one.i for one in node.attribute}
    width, rows, bits, block = (settings[name] for name in ("K", "N", "bits", "block_size"))
    count = -(-width // block)
    packed = numpy_helper.to_array(arrays[node.input[1]]).reshape(rows, count, -1)
    if bits == 4:
        packed = np.stack([packed & 0xF, packed >> 4], axis=-1).reshape(rows, count, -1)
    scales = numpy_helper.to_array(arrays[node.input[2]]).astype(np.float64).reshape(rows, count, 1)
    zero = np.full((rows, count, 1), float(1 << (bits - 1)))
    if len(node.input) > 3 and node.input[3]:
        zero = _zero_points(numpy_helper.to_array(arrays[node.input[3]]), rows, count, bits)
    value = ((packed.astype(np.float64) - zero) * scales).reshape(rows, -1)[:, :width]
    step = np.broadcast_to(np.abs(scales), packed.shape).reshape(rows, -1)[:, :width]
    return QuantisedWeight(node.input[1], value, np.maximum(step, 1e-12))


def _zero_points(stored: NDArray[np.generic], rows: int, count: int, bits: int) -> NDArray[np.float64]:
    if stored.dtype.kind == "f":
        return stored.astype(np.float64).reshape(rows, count, 1)
    packed = stored.astype(np.uint8).reshape(rows, -1)
    if bits == 4:
        packed = np.stack([packed & 0xF, packed >> 4], axis=-1).reshape(rows, -1)
    return packed[:, :count].astype(np.float64).reshape(rows, count, 1)


def _rows(node: onnx.NodeProto, arrays: Mapping[str, onnx.TensorProto]) -> QuantisedWeight | None:
    """An embedding in 8 bits, with one scale or one for every row or column."""
    name = node.input[0]
    scale = arrays.get(f"{name.removesuffix('_quantized')}_scale")
    if not name.endswith("_quantized") or name not in arrays or scale is None:
        return None
    zero = arrays.get(f"{name.removesuffix('_quantized')}_zero_point")
    table = numpy_helper.to_array(arrays[name]).astype(np.float64)

    def spread(tensor: onnx.TensorProto) -> NDArray[np.float64]:
        values: NDArray[np.float64] = numpy_helper.to_array(tensor).astype(np.float64).reshape(-1)
        return values.reshape(-1, 1) if len(values) == len(table) else values.reshape(1, -1)

    steps = spread(scale)
    value = (table - (0.0 if zero is None else spread(zero))) * steps
    return QuantisedWeight(name, value, np.maximum(np.broadcast_to(np.abs(steps), value.shape), 1e-12))


def _channels(node: onnx.NodeProto, arrays: Mapping[str, onnx.TensorProto]) -> QuantisedWeight | None:
    """8 bits with a scale for every output: `name_quantized`, `name_scale`, `name_zero_point`."""
    name = next((one for one in node.input if one.endswith("_quantized") and one in arrays), None)
    if name is None:
        return None
    base = name.removesuffix("_quantized")
    parts = [arrays.get(f"{base}_{word}") for word in ("scale", "zero_point")]
    if parts[0] is None:
        return None
    scale = numpy_helper.to_array(parts[0]).astype(np.float64).reshape(-1)
    zero = 0.0 if parts[1] is None else numpy_helper.to_array(parts[1]).astype(np.float64).reshape(-1)
    matrix = (numpy_helper.to_array(arrays[name]).astype(np.float64) - zero) * scale  # (in, out): a scale a column
    step = np.broadcast_to(np.abs(scale), matrix.shape)
    return QuantisedWeight(name, np.ascontiguousarray(matrix.T), np.maximum(step.T, 1e-12))
