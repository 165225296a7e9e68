"""The precisions of an export, with every setting that decides their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slmcheck.errors import ExportError


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How weights and activations of a graph are stored."""

    name: str
    meaning: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """Part of the export's key."""
    depends_on_batch: bool = False
    """Whether the numbers of one row depend on the rows beside it."""


PRECISIONS: Mapping[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision(name="fp32", meaning="32-bit floating point, as the model"),
        Precision(name="fp16", meaning="16-bit floating point, inputs and outputs 32-bit"),
        Precision(
            name="int8",
            meaning="weights in 8 bits by blocks of 32, activations quantised a block at a time",
            settings={"bits": "8", "block_size": "32", "symmetric": "true", "accuracy_level": "4"},
        ),
        Precision(
            name="int8-dynamic",
            meaning="weights in 8 bits a channel, activations with one scale over the whole batch",
            settings={"per_channel": "true", "constant_b_only": "true"},
            depends_on_batch=True,
        ),
        Precision(
            name="int4",
            meaning="weights in 4 bits by blocks of 32, activations quantised a block at a time",
            settings={"bits": "4", "block_size": "32", "symmetric": "true", "accuracy_level": "4"},
        ),
    )
}


def precision_of(name: str) -> Precision:
    """The precision of that name.

    Raises:
        ExportError: If there is none.
    """
    if name == "bf16":
        raise ExportError(
            "bf16 is refused: graphs are run and compared on the CPU, and onnxruntime has no bf16 kernels there.\n"
            f"Available: {', '.join(PRECISIONS)}.\nfp16 has the same size and more digits."
        )
    if name not in PRECISIONS:
        raise ExportError(f"Unknown precision '{name}'.\nAvailable: {', '.join(PRECISIONS)}.")
    return PRECISIONS[name]
