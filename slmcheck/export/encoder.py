"""An encoder with a classification head -> a plain graph: ids and mask in, one row of logits a text out.

Encoders are read right-padded only: some take their first token for the text, which is padding on the left.
A leaf module: it imports torch, transformers and onnx.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from slmcheck.backends.checkpoint_files import check_weights as check_files
from slmcheck.backends.onnx_folder import GRAPH, GraphFacts
from slmcheck.backends.onnx_session import open_session
from slmcheck.backends.pytorch_loading import context_of, quiet
from slmcheck.errors import CheckpointError, ExportError
from slmcheck.export.carrying_out import LARGEST_DIFFERENCE, copy_beside, describe, save
from slmcheck.export.graph import convert
from slmcheck.export.precisions import Precision
from slmcheck.export.quantizing import quantized
from slmcheck.export.weights import check_weights
from slmcheck.records import Checkpoint

Answers = list[tuple[torch.Tensor, torch.Tensor, NDArray[np.float32]]]
"""Ids, mask and the model's logits."""
ROWS, TOKENS = 2, 7
INPUTS, OUTPUTS = ["input_ids", "attention_mask"], ["logits"]


class Head(torch.nn.Module):  # type: ignore[misc]  # torch is not typed here
    """One call of a classifier with ids and mask."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Logits; shape (rows, labels)."""
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def write_classifier(
    checkpoint: Checkpoint, directory: Path, precision: Precision, versions: Mapping[str, str]
) -> None:
    """Export a classifier, check that it answers as the model does, and describe it.

    Raises:
        CheckpointError: If it cannot be loaded.
        ExportError: If no usable graph came out.
    """
    model = load_classifier(checkpoint)
    graph = classifier_graph(model)
    check_weights(graph, model)
    expected = _answers(model)
    config = model.config
    labels = [str(config.id2label[place]) for place in range(int(config.num_labels))]
    facts = GraphFacts(
        precision=precision.name,
        source_key=checkpoint.key,
        vocabulary_size=int(model.get_input_embeddings().weight.shape[0]),
        context_tokens=context_of(model),
        eos_ids=(),
        opset=next(one.version for one in graph.opset_import if one.domain in ("", "ai.onnx")),
        ir=graph.ir_version,
        nodes=len(graph.graph.node),
        settings={**precision.settings, "kind": "classifier", "labels": json.dumps(labels, ensure_ascii=False)},
        versions=versions,
    )
    save(quantized(graph, precision), directory)
    _check(directory, expected, exact=precision.name == "fp32")
    describe(directory, facts, copy_beside(checkpoint, directory))


def load_classifier(checkpoint: Checkpoint) -> PreTrainedModel:
    """A classifier in float32 on the CPU, complete.

    Raises:
        CheckpointError: If it cannot be loaded, or its head would be random.
    """
    if checkpoint.kind != "model":
        raise CheckpointError(
            f"The {checkpoint.kind} {checkpoint.path} has no classification head of its own.\n"
            "Classifiers are exported as whole models: merge the adapter and save the model with its head."
        )
    check_files(checkpoint.path, "model")
    try:
        with quiet():
            model, report = AutoModelForSequenceClassification.from_pretrained(
                str(checkpoint.path),
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=checkpoint.trust_remote_code,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise CheckpointError(
            f"The classifier {checkpoint.path} cannot be loaded: {str(error).strip().partition(chr(10))[0]}\n"
            "Expected a model with a classification head that transformers saved."
        ) from error
    if report["missing_keys"]:
        raise CheckpointError(
            f"{len(report['missing_keys'])} weights of {type(model).__name__} are missing: "
            f"{', '.join(sorted(report['missing_keys'])[:3])}.\nIn {checkpoint.path}.\nSuch weights would be random."
        )
    loaded: PreTrainedModel = model.eval().requires_grad_(False)
    return loaded


def classifier_graph(model: PreTrainedModel) -> onnx.ModelProto:
    """The graph of a classifier, weights inside.

    Raises:
        ExportError: If the architecture cannot be exported.
    """
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    keywords = dict(zip(INPUTS, _sample(model), strict=True))
    shapes = dict.fromkeys(INPUTS, free)
    return convert(Head(model).eval(), keywords, shapes, INPUTS, OUTPUTS, type(model).__name__)


def _sample(model: PreTrainedModel, rows: int = ROWS, tokens: int = TOKENS) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids without the padding token, which some models read their own way, and the last two of a row masked."""
    generator = torch.Generator().manual_seed(0)
    low = 1 + int(model.config.pad_token_id or 0)
    ids = torch.randint(low, int(model.get_input_embeddings().weight.shape[0]), (rows, tokens), generator=generator)
    mask = torch.ones_like(ids)
    mask[-1, -2:] = 0
    ids[-1, -2:] = int(model.config.pad_token_id or 0)
    return ids, mask


def _answers(model: PreTrainedModel) -> Answers:
    """Logits of the traced sizes and of others: one row, many rows, a longer text."""
    found = []
    for rows, tokens in ((ROWS, TOKENS), (1, TOKENS), (5, 31)):
        ids, mask = _sample(model, rows, tokens)
        with torch.no_grad():
            found.append((ids, mask, Head(model)(ids, mask).numpy()))
    return found


def _check(directory: Path, expected: Answers, *, exact: bool) -> None:
    try:
        session = open_session(directory / GRAPH)
    except CheckpointError as error:
        raise ExportError(f"The exported graph cannot be used.\n{error}") from error
    spread = float(np.concatenate([logits.ravel() for *_, logits in expected]).std())
    for ids, mask, logits in expected:
        (found,) = session.run(OUTPUTS, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        difference = float(np.abs(found - logits).max()) / spread
        if not np.isfinite(difference) or (exact and difference > LARGEST_DIFFERENCE):
            raise ExportError(
                f"The exported graph answers otherwise than the model: logits are {difference:.2g} of their spread "
                f"off.\nIn {directory}, {len(ids)} rows of {ids.shape[1]} tokens; at most {LARGEST_DIFFERENCE:g} is "
                "rounding.\nThe architecture has something that the exporter leaves out: gate the PyTorch checkpoint."
            )
