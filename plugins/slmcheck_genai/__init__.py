"""Folders for ONNX Runtime GenAI: a graph with its own generator, tokenizer and search settings.

`slmcheck export RUN DIR --exporter genai` runs the model builder of onnxruntime-genai (extra `genai`) in a child
process on the merged model and judges what it wrote: the builder ends with status 0 also where its graph cannot run.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar

from slmcheck.errors import ExportError, MissingExtraError
from slmcheck.export import Precision
from slmcheck.records import Checkpoint, Json

__all__ = ["GenaiExporter"]

PRECISIONS: Mapping[str, Precision] = {
    one.name: one
    for one in (
        Precision(name="fp32", meaning="32-bit floating point, as the model"),
        Precision(name="int8", meaning="weights in 8 bits by blocks of 32", settings={"block_size": "32"}),
        Precision(name="int4", meaning="weights in 4 bits by blocks of 32", settings={"block_size": "32"}),
    )
}
"""What the builder makes for a CPU; its fp16 and bf16 need a GPU."""


class GenaiExporter:
    """The model builder of onnxruntime-genai."""

    cache_version: ClassVar[int] = 1

    def inputs(self, checkpoint: Checkpoint, precision: str) -> Json:
        """See `slmcheck.export.Exporter`."""
        return {
            "checkpoint": checkpoint.key,
            "exporter": "onnxruntime-genai",
            "version": self.cache_version,
            "precision": precision,
            "settings": dict(_precision(precision).settings),
        }

    def export(self, checkpoint: Checkpoint, directory: Path, precision: str) -> None:
        """See `slmcheck.export.Exporter`."""
        wanted = _precision(precision)
        try:
            builder = version("onnxruntime-genai")
        except PackageNotFoundError as error:
            raise MissingExtraError(
                "The exporter 'genai' needs onnxruntime-genai, which is not installed.\n"
                "Install it: pip install 'slmcheck[train,onnx,genai]'"
            ) from error
        from slmcheck_genai.building import write_genai_folder

        directory.mkdir(parents=True, exist_ok=True)
        write_genai_folder(checkpoint, directory, wanted, builder)


def _precision(name: str) -> Precision:
    if name not in PRECISIONS:
        raise ExportError(
            f"The exporter 'genai' has no precision '{name}' for a CPU.\nAvailable: {', '.join(PRECISIONS)}.\n"
            "Other precisions: leave --exporter out."
        )
    return PRECISIONS[name]
