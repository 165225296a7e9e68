"""An fp32 graph at another precision. A leaf module: it imports onnx and onnxruntime's quantisers."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx

from slmcheck.errors import ExportError
from slmcheck.export.precisions import Precision


def quantized(graph: onnx.ModelProto, precision: Precision, *, exclude: Sequence[str] = ()) -> onnx.ModelProto:
    """The graph at a precision; fp32 is the graph itself. Changes `graph`.

    A tied head is read through a transposition of the embedding, and quantisers leave it as it is.

    Args:
        graph: In fp32.
        precision: The precision.
        exclude: Names of nodes that stay as they are.

    Raises:
        ExportError: If the quantiser fails.
    """
    if precision.name == "fp32":
        return graph
    convert = {"fp16": _to_fp16, "int8-dynamic": _to_int8_dynamic}.get(precision.name, _to_blocks)
    try:
        with _quiet():
            return convert(graph, precision, exclude)
    except Exception as error:  # the quantisers raise bare exceptions of many kinds
        raise ExportError(
            f"The graph cannot be converted to {precision.name}: {str(error).strip() or type(error).__name__}\n"
            "Export it as fp32, or exclude what the quantiser does not know."
        ) from error


def _to_fp16(graph: onnx.ModelProto, precision: Precision, exclude: Sequence[str]) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    del graph.graph.value_info[:]  # it states float32 for what becomes float16
    converted: onnx.ModelProto = convert_float_to_float16(
        graph, keep_io_types=True, node_block_list=list(exclude) or None
    )
    return converted


def _to_blocks(graph: onnx.ModelProto, precision: Precision, exclude: Sequence[str]) -> onnx.ModelProto:
    """Weights of matrix products in blocks of their own scale (MatMulNBits)."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer").setLevel(logging.ERROR)  # it sets its own
    settings = precision.settings
    quantizer = MatMulNBitsQuantizer(
        graph,
        bits=int(settings["bits"]),
        block_size=int(settings["block_size"]),
        is_symmetric=settings["symmetric"] == "true",
        accuracy_level=int(settings["accuracy_level"]),
        op_types_to_quantize=("MatMul",),
        nodes_to_exclude=list(exclude),
    )
    quantizer.process()
    converted: onnx.ModelProto = quantizer.model.model
    return converted


def _to_int8_dynamic(graph: onnx.ModelProto, precision: Precision, exclude: Sequence[str]) -> onnx.ModelProto:
    """8-bit weights a channel; activations are quantised while running, with one scale over the whole batch."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    weights = {one.name for one in graph.graph.initializer}
    kept = [value for value in graph.graph.value_info if value.name not in weights]
    del graph.graph.value_info[:]
    graph.graph.value_info.extend(kept)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(graph, source, save_as_external_data=True, location="fp32.data", size_threshold=1024)
        quantize_dynamic(
            source,
            target,
            per_channel=True,
            nodes_to_exclude=list(exclude),
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(target)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Quantisers print and log every node that they look at."""
    loggers = [logging.getLogger(), logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
