"""A causal language model in PyTorch -> one ONNX graph with its past as inputs.

With a past of length 0 the graph reads prompts, else it writes on. A leaf module: it imports torch, transformers, onnx.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx
import torch
from transformers import DynamicCache, PreTrainedModel

from slmcheck.errors import ExportError
from slmcheck.export.keys import OPSET

KEPT_METADATA = "pkg.torch.onnx.name_scopes"
"""The module that each node came from; what else the exporter writes down holds paths of this machine."""
ROWS, PAST, NEW = 2, 5, 3
"""Sizes of the sample that is traced: different, so that no two dynamic sizes are taken for one."""
FAMILIES = (
    "causal models with attention in every layer (Llama, Mistral, Qwen2, Qwen3, Phi-3, Gemma 2 and 3, GPT-2, SmolLM3 "
    "and the like), and encoders with a classification head (BERT, DistilBERT, RoBERTa, ModernBERT)"
)
LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")


class Step(torch.nn.Module):  # type: ignore[misc]  # torch is not typed here
    """One call of the model with its past as plain tensors."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        accepted = inspect.signature(model.forward).parameters
        self.cache_name = "cache" if "cache" in accepted else "past_key_values"

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        past: list[tuple[torch.Tensor, torch.Tensor]],
    ) -> tuple[torch.Tensor, ...]:
        """Logits, then keys and values of every layer."""
        cache = DynamicCache()  # made from the configuration, a sliding layer would crop its keys; the mask does that
        for layer, (key, value) in enumerate(past):
            cache.update(key, value, layer)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=True,
            **{self.cache_name: cache},
        )
        return (outputs.logits, *(tensor for layer in cache.layers for tensor in (layer.keys, layer.values)))


def exported_graph(model: PreTrainedModel) -> onnx.ModelProto:
    """The graph of a model in float32 on the CPU, weights inside.

    Raises:
        ExportError: If the architecture cannot be exported.
    """
    _check_architecture(model)
    step, sample = Step(model).eval(), sample_inputs(model)
    dynamic = torch.export.Dim.DYNAMIC
    layers = len(sample.past)
    free, free_past = {0: dynamic, 1: dynamic}, {0: dynamic, 2: dynamic}
    shapes = {
        "input_ids": free,
        "attention_mask": free,
        "position_ids": free,
        "past": [(free_past, free_past)] * layers,
    }
    inputs, outputs = tensor_names(layers)
    return convert(step, sample.keywords(), shapes, inputs, outputs, type(model).__name__)


def convert(
    module: torch.nn.Module,
    keywords: Mapping[str, object],
    shapes: Mapping[str, object],
    inputs: Sequence[str],
    outputs: Sequence[str],
    architecture: str,
) -> onnx.ModelProto:
    """A module as a graph, without what differs between machines.

    Args:
        module: Made for one call with tensors only.
        keywords: Arguments of that call; their values decide nothing.
        shapes: Which sizes are free, argument by argument.
        inputs: Names of the graph's inputs, in the order of the arguments.
        outputs: Names of its outputs.
        architecture: What it is called in messages.

    Raises:
        ExportError: If it cannot be exported.
    """
    log = io.StringIO()
    try:
        with _quiet(log), torch.no_grad():
            program = torch.onnx.export(
                module,
                (),
                kwargs=dict(keywords),
                dynamic_shapes=dict(shapes),
                dynamo=True,
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # the exporter wraps every failure in a class of its own
        raise ExportError(
            f"{architecture} cannot be exported to ONNX: {_cause(error)}\n"
            f"torch {torch.__version__} wrote: {log.getvalue().strip().splitlines()[-1:] or 'nothing'}.\n"
            f"Exported are {FAMILIES}."
        ) from error
    graph: onnx.ModelProto = program.model_proto
    strip(graph)
    return graph


@dataclass(frozen=True, eq=False)
class Sample:
    """Inputs of `Step`."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor
    past: list[tuple[torch.Tensor, torch.Tensor]]

    def keywords(self) -> dict[str, torch.Tensor | list[tuple[torch.Tensor, torch.Tensor]]]:
        """As keyword arguments."""
        return {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "position_ids": self.position_ids,
            "past": self.past,
        }


def sample_inputs(model: PreTrainedModel) -> Sample:
    """Inputs to trace with; their values decide nothing."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = int(model.get_input_embeddings().weight.shape[0])

    def drawn(shape: tuple[int, int]) -> torch.Tensor:
        return torch.randn(ROWS, shape[0], PAST, shape[1], generator=generator)

    return Sample(
        input_ids=torch.randint(0, vocabulary, (ROWS, NEW), generator=generator),
        attention_mask=torch.ones(ROWS, PAST + NEW, dtype=torch.long),
        position_ids=torch.arange(PAST, PAST + NEW)[None].repeat(ROWS, 1),
        past=[(drawn(key), drawn(value)) for key, value in past_shapes(model)],
    )


def past_shapes(model: PreTrainedModel) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """For every layer, (heads, width) of keys and of values, as the model makes them.

    Raises:
        ExportError: If a layer keeps something else.
    """
    step = Step(model)
    with torch.no_grad():
        outputs = model(input_ids=torch.zeros((1, 2), dtype=torch.long), use_cache=True)
    cache = outputs.get(step.cache_name)
    layers = getattr(cache, "layers", [])
    if not layers or any(getattr(layer, "keys", None) is None for layer in layers):
        raise ExportError(f"{type(model).__name__} keeps no keys and values in every layer.\nExported are {FAMILIES}.")
    return [
        ((layer.keys.shape[1], layer.keys.shape[3]), (layer.values.shape[1], layer.values.shape[3])) for layer in layers
    ]


def tensor_names(layers: int) -> tuple[list[str], list[str]]:
    """Names of the graph's inputs and outputs, in order."""
    places = [f"{layer}.{kind}" for layer in range(layers) for kind in ("key", "value")]
    inputs = ["input_ids", "attention_mask", "position_ids", *(f"past_key_values.{place}" for place in places)]
    return inputs, ["logits", *(f"present.{place}" for place in places)]


def strip(graph: onnx.ModelProto) -> None:
    """Drop everything that differs between machines, and keep which module each node came from."""
    for node in graph.graph.node:
        kept = [(entry.key, entry.value) for entry in node.metadata_props if entry.key == KEPT_METADATA]
        del node.metadata_props[:]
        for key, value in kept:
            node.metadata_props.add(key=key, value=value)
        node.doc_string = ""
    for holder in (graph, graph.graph, *graph.functions):
        del holder.metadata_props[:]
        holder.doc_string = ""
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.value_info, *graph.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    graph.producer_version = ""


def _check_architecture(model: PreTrainedModel) -> None:
    parameters = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    kind = parameters.get("rope_type")
    if kind in LENGTH_DEPENDENT_ROPE:
        raise ExportError(
            f"{type(model).__name__} has rotary embeddings of type '{kind}', whose factors change with the length.\n"
            "One graph cannot serve short and long texts of such a model: gate the PyTorch checkpoint."
        )


@contextlib.contextmanager
def _quiet(log: io.StringIO) -> Iterator[None]:
    """What the exporter prints and warns goes to `log`."""
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "torch.export", "onnxscript")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
