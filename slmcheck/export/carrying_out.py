"""The steps of an export. A leaf module: it imports torch, transformers, onnx and onnxruntime."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from slmcheck.backends.onnx_folder import DATA, GRAPH, GraphFacts, write_facts
from slmcheck.backends.onnxruntime import open_session, past_inputs
from slmcheck.backends.pytorch_loading import (
    context_of,
    eos_ids_of,
    folder_of,
    load_merged,
    load_tokenizer,
    tokenizer_source,
)
from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.errors import CheckpointError, ExportError
from slmcheck.export.graph import Step, exported_graph, sample_inputs, tensor_names
from slmcheck.export.precisions import Precision
from slmcheck.export.quantizing import quantized
from slmcheck.export.weights import check_weights
from slmcheck.records import Checkpoint
from slmcheck.storage.files import sha256_of_file

EXTERNAL_BYTES = 1_000_000_000
"""Weights beyond this lie beside the graph: a protobuf ends at 2 GB."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
MODEL_FILES = ("config.json", "generation_config.json")
LARGEST_DIFFERENCE = 1e-4
"""Of a logit of the fp32 graph on the traced inputs, relative to the spread of the logits."""


@dataclass(frozen=True, eq=False)
class Expected:
    """What the model answers to inputs with a past, one row of them padded."""

    feeds: Mapping[str, NDArray[np.generic]]
    logits: NDArray[np.float32]
    """Shape (rows, tokens, vocabulary)."""


def write_export(checkpoint: Checkpoint, directory: Path, precision: Precision, versions: Mapping[str, str]) -> None:
    """Carry out `slmcheck.export.to_onnx`."""
    model, tokenizer = load_merged(checkpoint), load_tokenizer(checkpoint)
    graph = exported_graph(model)
    check_weights(graph, model)
    expected = answer(model)
    facts = facts_of(model, tokenizer, graph, checkpoint, precision, versions)
    del model  # the graph holds the weights too
    save(quantized(graph, precision), directory)
    check_answer(directory, expected, exact=precision.name == "fp32")
    describe(directory, facts, copy_beside(checkpoint, directory))


def facts_of(
    model: PreTrainedModel,
    tokenizer: TextTokenizer,
    graph: onnx.ModelProto,
    checkpoint: Checkpoint,
    precision: Precision,
    versions: Mapping[str, str],
) -> GraphFacts:
    """What is told of a graph, without its files."""
    return GraphFacts(
        precision=precision.name,
        source_key=checkpoint.key,
        vocabulary_size=int(model.get_output_embeddings().weight.shape[0]),
        context_tokens=context_of(model),
        eos_ids=tuple(sorted(eos_ids_of(model, tokenizer))),
        opset=next(one.version for one in graph.opset_import if one.domain in ("", "ai.onnx")),
        ir=graph.ir_version,
        nodes=len(graph.graph.node),
        settings=precision.settings,
        versions=versions,
    )


def describe(directory: Path, facts: GraphFacts, beside: Sequence[Path]) -> None:
    """Write the facts of a graph with size and SHA-256 of every file of its folder."""
    files = [directory / GRAPH, *([directory / DATA] if (directory / DATA).is_file() else []), *beside]
    named = {str(file.relative_to(directory)): file for file in files}
    sizes = {name: file.stat().st_size for name, file in named.items()}
    write_facts(
        directory, replace(facts, sizes=sizes, sha256={name: sha256_of_file(file) for name, file in named.items()})
    )


def save(graph: onnx.ModelProto, directory: Path) -> None:
    """Write the graph, large weights beside it."""
    external = sum(len(one.raw_data) for one in graph.graph.initializer) > EXTERNAL_BYTES
    (directory / DATA).unlink(missing_ok=True)  # onnx would append to it
    onnx.save(
        graph,
        directory / GRAPH,
        save_as_external_data=external,
        location=DATA if external else None,
        size_threshold=1024,  # with 0, shapes lie outside too and onnxruntime cannot load the graph
    )


def answer(model: PreTrainedModel) -> Expected:
    """The model's logits for the traced inputs; the first two tokens of the first row's past are padding."""
    sample = sample_inputs(model)
    sample.attention_mask[0, :2] = 0
    sample.position_ids[0] -= 2
    with torch.no_grad():
        logits = Step(model)(**sample.keywords())[0]
    inputs, _ = tensor_names(len(sample.past))
    tensors = [
        sample.input_ids,
        sample.attention_mask,
        sample.position_ids,
        *(one for pair in sample.past for one in pair),
    ]
    return Expected({name: tensor.numpy() for name, tensor in zip(inputs, tensors, strict=True)}, logits.numpy())


def check_answer(directory: Path, expected: Expected, *, exact: bool) -> None:
    """The written graph loads, has the expected names and gives numbers; where `exact`, the model's own.

    Raises:
        ExportError: If it does not.
    """
    try:
        session = open_session(directory / GRAPH)
        past_inputs(session)
    except CheckpointError as error:
        raise ExportError(f"The exported graph cannot be used.\n{error}") from error
    (found,) = session.run(["logits"], dict(expected.feeds))
    if not np.isfinite(found).all():
        raise ExportError(f"The exported graph gives logits that are not numbers.\nIn {directory}.")
    difference = float(np.abs(found - expected.logits).max() / expected.logits.std())
    if exact and difference > LARGEST_DIFFERENCE:
        raise ExportError(
            f"The exported graph answers otherwise than the model: logits are {difference:.2g} of their spread off.\n"
            f"In {directory}; at most {LARGEST_DIFFERENCE:g} is rounding.\n"
            "The architecture has something that the exporter leaves out: gate the PyTorch checkpoint."
        )


def copy_beside(checkpoint: Checkpoint, directory: Path) -> list[Path]:
    """Put tokenizer and configurations beside the graph.

    Raises:
        ExportError: If there is no tokenizer.json.
    """
    tokenizer = folder_of(tokenizer_source(checkpoint))
    model = folder_of(checkpoint.base_model) if checkpoint.base_model is not None else checkpoint.path
    copied = []
    for folder, names in ((tokenizer, TOKENIZER_FILES), (model, MODEL_FILES)):
        for name in names:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, directory / name)
                copied.append(directory / name)
    if not (directory / "tokenizer.json").is_file():
        raise ExportError(
            f"{tokenizer} has no tokenizer.json.\nAn export carries its tokenizer in that form.\n"
            "Save it so: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )
    return copied
