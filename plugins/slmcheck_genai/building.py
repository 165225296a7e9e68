"""The builder in a child process, and the judgement of what it wrote.

A leaf module: it imports torch, transformers and onnx.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch
from transformers import PreTrainedModel

from slmcheck.backends.onnx_folder import DATA, FACTS, GRAPH
from slmcheck.backends.onnx_session import open_session
from slmcheck.backends.onnx_signature import signature_of
from slmcheck.backends.pytorch_loading import load_merged, load_tokenizer, quiet
from slmcheck.errors import CheckpointError, ExportError
from slmcheck.export import Precision
from slmcheck.export.carrying_out import LARGEST_DIFFERENCE, copy_beside, describe, facts_of
from slmcheck.records import Checkpoint

HEAD_WIDTH = 16
"""The attention operator of the builder takes heads whose width is a multiple of this."""
TIMEOUT_SECONDS = 7200
WORKS = ("Llama", "Qwen2", "Qwen3", "SmolLM3")
"""Families whose folders were compared with PyTorch."""
LIBRARIES = ("torch", "transformers", "onnx", "onnxruntime")


def write_genai_folder(checkpoint: Checkpoint, directory: Path, precision: Precision, builder: str) -> None:
    """Build the folder of a checkpoint and check that its graph answers as the model does.

    Raises:
        ExportError: If the architecture does not suit the builder, or no usable folder came out.
    """
    model, tokenizer = load_merged(checkpoint), load_tokenizer(checkpoint)
    check_head_width(model)
    with tempfile.TemporaryDirectory() as scratch:
        merged = Path(scratch) / "merged"
        with quiet():
            model.save_pretrained(merged)
        copy_beside(checkpoint, merged)
        log = build(merged, directory, precision, Path(scratch) / "cache")
    graph = usable_graph(directory, model, log)
    check_answer(directory, model, exact=precision.name == "fp32")
    settings: Mapping[str, str] = {**precision.settings, "made_by": "onnxruntime-genai", "pads_left": "false"}
    versions = {"onnxruntime-genai": builder, **{one: version(one) for one in LIBRARIES}}
    facts = replace(facts_of(model, tokenizer, graph, checkpoint, precision, versions), settings=settings)
    copy_beside(checkpoint, directory)
    beside = [file for file in sorted(directory.iterdir()) if file.name not in (GRAPH, DATA, FACTS) and file.is_file()]
    describe(directory, facts, beside)


def check_head_width(model: PreTrainedModel) -> None:
    """Raise unless the builder's attention can run the model: it builds without an error and fails when it is run.

    Raises:
        ExportError: If the width of a head is no multiple of 16.
    """
    width = head_width(model)
    if width % HEAD_WIDTH:
        raise ExportError(
            f"The heads of {type(model).__name__} are {width} wide; the exporter 'genai' needs a multiple of "
            f"{HEAD_WIDTH}.\nIts graph would be built and fail in its first run.\nLeave --exporter out."
        )


def head_width(model: PreTrainedModel) -> int:
    """Width of the keys of one attention head."""
    config = model.config.get_text_config()
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def build(merged: Path, directory: Path, precision: Precision, cache: Path) -> str:
    """Run the builder; gives what it wrote on the terminal. Its exit status is no evidence, so it is not looked at.

    Raises:
        ExportError: If it takes longer than two hours.
    """
    # A graph whose cache is cut to a sliding window could not be asked by a plain session.
    options = ["windowed_kv_cache=false"]
    if "block_size" in precision.settings:
        options.append(f"int4_block_size={precision.settings['block_size']}")
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(merged), "-o", str(directory)]
    command += ["-p", precision.name, "-e", "cpu", "-c", str(cache), "--extra_options", *options]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"The builder of onnxruntime-genai had not finished after {TIMEOUT_SECONDS} s.") from error
    return done.stdout


def usable_graph(directory: Path, model: PreTrainedModel, log: str) -> onnx.ModelProto:
    """The graph that the builder wrote, without its weights.

    Raises:
        ExportError: If it wrote none that loads and takes what a language model takes.
    """
    missing = [name for name in (GRAPH, "genai_config.json") if not (directory / name).is_file()]
    if missing:
        said = [line for line in log.strip().splitlines() if line.strip()][-1:]
        builder = f"onnxruntime-genai {version('onnxruntime-genai')}"
        raise ExportError(
            f"The builder of {builder} makes no folder of {type(model).__name__}: "
            f"{said[0][:200] if said else 'it says nothing'}\n"
            f"Known to work: {', '.join(WORKS)}.\nLeave --exporter out: the exporter 'onnx' has more families."
        )
    graph = onnx.load(str(directory / GRAPH), load_external_data=False)
    state_widths(graph, head_width(model))
    onnx.save(graph, directory / GRAPH)
    try:
        signature_of(open_session(directory / GRAPH))
    except CheckpointError as error:
        raise ExportError(f"The folder that onnxruntime-genai built cannot be used.\n{error}") from error
    return graph


def state_widths(graph: onnx.ModelProto, width: int) -> None:
    """Write the width of keys and values into the graph: the builder leaves open what a caller must know."""
    for value in (*graph.graph.input, *graph.graph.output):
        if value.name.startswith(("past_key_values.", "present.")):
            last = value.type.tensor_type.shape.dim[3]
            if not last.dim_value:
                last.dim_value = width


def check_answer(directory: Path, model: PreTrainedModel, *, exact: bool) -> None:
    """The graph runs and gives numbers; where `exact`, the model's own, for a prompt of one row.

    Raises:
        ExportError: If it does not.
    """
    session, architecture = open_session(directory / GRAPH), type(model).__name__
    signature = signature_of(session)
    ids = torch.randint(0, int(model.config.get_text_config().vocab_size), (1, 12), generator=torch.Generator())
    with torch.no_grad():
        expected = model(input_ids=ids).logits.float().numpy()
    names = {one.name for one in session.get_inputs()}
    feeds = {"input_ids": ids.numpy(), "attention_mask": np.ones_like(ids.numpy())}
    if "position_ids" in names:
        feeds["position_ids"] = np.arange(ids.shape[1])[None]
    for one in signature.past:
        feeds[one.port.name] = np.zeros((1, one.heads, 0, one.width), dtype=one.port.numpy)
    try:
        (found,) = session.run([signature.logits], feeds)
    except Exception as error:  # the library's own exceptions share no base class
        raise ExportError(
            f"The graph of {architecture} that onnxruntime-genai built fails in its first run: "
            f"{str(error).strip().splitlines()[0][:200]}\nKnown to work: {', '.join(WORKS)}.\nLeave --exporter out."
        ) from error
    difference = float(np.abs(found - expected).max() / expected.std())
    if not np.isfinite(difference) or (exact and difference > LARGEST_DIFFERENCE):
        raise ExportError(
            f"The graph of {architecture} that onnxruntime-genai built answers otherwise than the model: logits are "
            f"{difference:.2g} of their spread off; at most {LARGEST_DIFFERENCE:g} is rounding.\n"
            f"Known to work: {', '.join(WORKS)}.\nLeave --exporter out."
        )
