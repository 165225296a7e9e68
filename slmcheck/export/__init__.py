"""Checkpoint -> ONNX checkpoint: one graph that reads prompts and writes on, at a precision."""

from slmcheck.export.keys import CACHE_VERSION, export_inputs, exported_checkpoint
from slmcheck.export.precisions import PRECISIONS, Precision
from slmcheck.export.writing import to_onnx

__all__ = ["CACHE_VERSION", "PRECISIONS", "Precision", "export_inputs", "exported_checkpoint", "to_onnx"]
