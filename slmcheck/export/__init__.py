"""Checkpoint -> ONNX checkpoint: one graph that reads prompts and writes on, at a precision."""

from slmcheck.export.foreign import (
    ForeignGraph,
    adopt,
    adoption_inputs,
    foreign_graph,
    genai_folder,
    precision_of_folder,
)
from slmcheck.export.keys import CACHE_VERSION, export_inputs, exported_checkpoint
from slmcheck.export.precisions import PRECISIONS, Precision
from slmcheck.export.protocol import ONNX, Exporter, OnnxExporter, find_exporter
from slmcheck.export.writing import to_onnx

__all__ = [
    "CACHE_VERSION",
    "ONNX",
    "PRECISIONS",
    "Exporter",
    "ForeignGraph",
    "OnnxExporter",
    "Precision",
    "adopt",
    "adoption_inputs",
    "export_inputs",
    "exported_checkpoint",
    "find_exporter",
    "foreign_graph",
    "genai_folder",
    "precision_of_folder",
    "to_onnx",
]
