"""Taking over a graph that another tool made. A leaf module: it imports torch, transformers, onnx and onnxruntime."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import onnx
from transformers import AutoConfig, PretrainedConfig

from slmcheck.backends.onnx_folder import GRAPH, GraphFacts, write_facts
from slmcheck.backends.onnx_session import GraphFile, open_session, read_graph
from slmcheck.backends.onnx_signature import Expected, signature_of
from slmcheck.backends.pytorch_loading import folder_of, quiet
from slmcheck.data.tokenizers import read_tokenizer
from slmcheck.export.carrying_out import copy_beside
from slmcheck.export.foreign import ForeignGraph
from slmcheck.records import Checkpoint
from slmcheck.storage.files import sha256_of_file

COUNTS_FROM_THE_LEFT = "GroupQueryAttention"
"""An operator that takes the number of ones in the mask for the length of a row: padding must stand on the right."""
COPIED_BYTES = 1_000_000_000
"""Larger files are linked where the file system can."""


def write_adopted(checkpoint: Checkpoint, found: ForeignGraph, directory: Path) -> None:
    """Put a graph, its weights, and the checkpoint's tokenizer and configuration into a folder, described.

    Raises:
        CheckpointError: If the graph is damaged, cannot be loaded, or is not called as the checkpoint's model is.
    """
    graph = read_graph(found.file)
    config = config_of(checkpoint)
    past = signature_of(open_session(found.file), expected_of(config)).past
    files = [_place(found.file, directory / GRAPH)]
    files += [_place(one, directory / one.name) for one in graph.data]
    files += copy_beside(checkpoint, directory)
    text = config.get_text_config()
    facts = GraphFacts(
        precision=precision_of_graph(graph.graph),
        source_key=checkpoint.key,
        vocabulary_size=int(text.vocab_size),
        context_tokens=getattr(text, "max_position_embeddings", None),
        eos_ids=tuple(sorted(read_tokenizer(directory).eos_ids | _eos_ids(config))),
        opset=next(one.version for one in graph.graph.opset_import if one.domain in ("", "ai.onnx")),
        ir=graph.graph.ir_version,
        nodes=len(graph.graph.graph.node),
        settings={
            "made_by": graph.graph.producer_name or "another tool",
            "pads_left": _pads_left(graph),
            **({"past_heads": str(past[0].heads), "past_width": str(past[0].width)} if past else {}),
        },
    )
    sizes = {file.name: file.stat().st_size for file in files}
    write_facts(directory, replace(facts, sizes=sizes, sha256={file.name: sha256_of_file(file) for file in files}))


def config_of(checkpoint: Checkpoint) -> PretrainedConfig:
    """The configuration of a checkpoint's model."""
    source = checkpoint.base_model if checkpoint.base_model is not None else str(checkpoint.path)
    with quiet():
        return AutoConfig.from_pretrained(folder_of(source), trust_remote_code=checkpoint.trust_remote_code)


def expected_of(config: PretrainedConfig) -> Expected:
    """What a graph of this configuration takes and gives."""
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    return Expected(
        vocabulary=int(text.vocab_size),
        layers=int(text.num_hidden_layers),
        heads=int(heads),
        width=int(getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads),
    )


def precision_of_graph(graph: onnx.ModelProto) -> str:
    """The precision whose tolerances fit the weights of a graph."""
    operators = Counter(node.op_type for node in graph.graph.node)
    bits = [
        attribute.i
        for node in graph.graph.node
        if node.op_type == "MatMulNBits"
        for attribute in node.attribute
        if attribute.name == "bits"
    ]
    if bits:
        return "int4" if min(bits) <= 4 else "int8"
    if operators["MatMulInteger"] or operators["DynamicQuantizeLinear"] or operators["DynamicQuantizeMatMul"]:
        return "int8-dynamic"
    sizes = Counter[int]()
    for tensor in graph.graph.initializer:
        size = 1
        for dim in tensor.dims:
            size *= dim
        sizes[tensor.data_type] += size
    kind = max(sizes, key=lambda one: sizes[one], default=onnx.TensorProto.FLOAT)
    if kind in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
        return "int8"
    return "fp16" if kind == onnx.TensorProto.FLOAT16 else "fp32"


def _pads_left(graph: GraphFile) -> str:
    counts = any(node.op_type == COUNTS_FROM_THE_LEFT for node in graph.graph.graph.node)
    return "false" if counts else "true"


def _eos_ids(config: PretrainedConfig) -> frozenset[int]:
    found = config.get_text_config().eos_token_id
    ids = found if isinstance(found, list) else [found]
    return frozenset(int(one) for one in ids if one is not None)


def _place(source: Path, target: Path) -> Path:
    if source.stat().st_size > COPIED_BYTES:
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copyfile(source, target)
    else:
        shutil.copyfile(source, target)
    return target
