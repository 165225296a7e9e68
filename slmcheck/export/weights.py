"""Whether a graph holds the weights of its model: every one, bit for bit, tied ones once.

A leaf module: it imports torch, transformers and onnx.
"""

from __future__ import annotations

import hashlib

import onnx
from onnx import numpy_helper
from transformers import PreTrainedModel

from slmcheck.errors import ExportError

LARGEST_GROWTH = 1.02
"""Bytes of initializers over bytes of unique parameters: constants of the graph come on top, a second copy must not."""


def check_weights(graph: onnx.ModelProto, model: PreTrainedModel) -> None:
    """Raise unless every parameter is an initializer of the graph, and none is stored twice.

    A linear layer may be stored transposed.

    Raises:
        ExportError: Names the parameters that are not there.
    """
    stored = {_hash(numpy_helper.to_array(one).tobytes()) for one in graph.graph.initializer}
    parameters = {id(parameter): (name, parameter) for name, parameter in model.named_parameters()}
    missing = [
        name
        for name, parameter in parameters.values()
        if _hash(parameter.detach().contiguous().numpy().tobytes()) not in stored
        and _hash(parameter.detach().T.contiguous().numpy().tobytes() if parameter.dim() == 2 else b"") not in stored
    ]
    if missing:
        raise ExportError(
            f"{len(missing)} of {len(parameters)} weights are not in the exported graph: {', '.join(missing[:3])}.\n"
            "The exporter folded or changed them: gate the PyTorch checkpoint."
        )
    unique = sum(parameter.numel() * parameter.element_size() for _, parameter in parameters.values())
    found = sum(len(numpy_helper.to_array(one).tobytes()) for one in graph.graph.initializer)
    if found > unique * LARGEST_GROWTH + 100_000:
        raise ExportError(
            f"The exported graph holds {found} bytes of weights, the model {unique}.\nA tied weight is stored twice."
        )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
