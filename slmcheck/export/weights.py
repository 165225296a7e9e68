"""Whether a graph holds the matrices of its model: every one, bit for bit, tied ones once.

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
    """Raise unless every matrix is an initializer of the graph, bit for bit, and none is stored twice.

    A matrix may be stored transposed. Vectors are not looked at: the exporter computes with some of them beforehand
    (1 + weight in Gemma's norms) and splits others (the bias of GPT-2's joint projection).

    Raises:
        ExportError: Names the matrices that are not there.
    """
    stored = {_hash(numpy_helper.to_array(one).tobytes()) for one in graph.graph.initializer}
    parameters = {id(parameter): (name, parameter.detach()) for name, parameter in model.named_parameters()}
    matrices = [(name, parameter) for name, parameter in parameters.values() if parameter.dim() == 2]
    missing = [
        name
        for name, matrix in matrices
        if not stored & {_hash(form.contiguous().numpy().tobytes()) for form in (matrix, matrix.T)}
    ]
    if missing:
        raise ExportError(
            f"{len(missing)} of {len(matrices)} matrices are not in the exported graph: {', '.join(missing[:3])}.\n"
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
