"""How much memory a training needs, estimated before it starts.

The terms and their factors (22, 4, 24) were fitted on training runs of Llama models of 11 and 135 million weights, with
flat batches and logits at the learned tokens only, on a processor in float32; on a GPU they are a guess.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slmcheck.records import Json, Recipe

IMPORTS_BYTES = 510 * 2**20
"""Resident size of a process that has imported torch, transformers and peft."""
_WEIGHT = 4
_QUANTIZED = 0.52  # four bits, and the scales of blocks of 64 weights
_TRAINED = 12  # gradient and two moments of Adam
_HIDDEN = 22
_INTERMEDIATE = 4
_LOGIT = 24
_LABEL_TOKENS = 16
"""Learned tokens of a row of a classification: a label and EOS, with room."""


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The sizes that decide memory, from config.json."""

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    parameters: int


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes that a training process needs, by what they hold."""

    imports_bytes: int
    weights_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    logits_bytes: int
    factor: float
    """How much more should be free, to be safe: 1.25, with checkpointed activations or a quantised base 1.5."""

    @property
    def total_bytes(self) -> int:
        """The estimate itself."""
        return (
            self.imports_bytes + self.weights_bytes + self.optimizer_bytes + self.activations_bytes + self.logits_bytes
        )

    @property
    def required_bytes(self) -> int:
        """What should be free before starting."""
        return round(self.imports_bytes + self.factor * (self.total_bytes - self.imports_bytes))


def estimate_memory(
    shape: ModelShape,
    *,
    trained: int,
    batch_tokens: int,
    learned_tokens: int,
    checkpointing: bool,
    quantized: bool = False,
) -> MemoryEstimate:
    """Memory of training in float32.

    Args:
        shape: The base model.
        trained: Weights that are trained.
        batch_tokens: Tokens of one micro-batch.
        learned_tokens: Learned tokens of one micro-batch.
        checkpointing: Whether activations are computed again instead of kept.
        quantized: Whether the linear layers of the base model are held in four bits.
    """
    embeddings = shape.vocabulary * shape.hidden
    weights = _WEIGHT * shape.parameters
    if quantized:
        weights = round(_QUANTIZED * (shape.parameters - embeddings) + _WEIGHT * embeddings)
    a_layer = _HIDDEN * shape.hidden + _INTERMEDIATE * shape.intermediate
    activations = shape.layers * a_layer
    if checkpointing:
        activations = shape.layers * shape.hidden + a_layer
    return MemoryEstimate(
        imports_bytes=IMPORTS_BYTES,
        weights_bytes=weights,
        optimizer_bytes=_TRAINED * trained,
        activations_bytes=4 * batch_tokens * activations,
        logits_bytes=_LOGIT * learned_tokens * shape.vocabulary,
        factor=1.5 if checkpointing or quantized else 1.25,
    )


def estimate_of_recipe(recipe: Recipe, base_model: str) -> MemoryEstimate | None:
    """The estimate for a recipe with rows of `max_length`; None where the base model's files are not at hand.

    Args:
        recipe: The recipe.
        base_model: Folder of the base model.
    """
    shape = read_shape(Path(base_model))
    if shape is None:
        return None
    rows = recipe.per_device_train_batch_size
    length = recipe.data.max_length
    return estimate_memory(
        shape,
        trained=_trained_weights(recipe, shape),
        batch_tokens=rows * length,
        learned_tokens=rows * _learned_of_row(recipe, length),
        checkpointing=recipe.gradient_checkpointing,
        quantized=recipe.trainer == "qlora",
    )


def read_shape(folder: Path) -> ModelShape | None:
    """The sizes of a model folder from its config.json and the headers of its weights; None if they are not there."""
    config_file = folder / "config.json"
    if not config_file.is_file():
        return None
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config = config.get("text_config", config)
    hidden = _first(config, "hidden_size", "n_embd", "d_model")
    layers = _first(config, "num_hidden_layers", "n_layer", "num_layers")
    vocabulary = _first(config, "vocab_size")
    parameters = sum(_parameters(file) for file in sorted(folder.glob("*.safetensors")))
    if hidden is None or layers is None or vocabulary is None or not parameters:
        return None
    intermediate = _first(config, "intermediate_size", "n_inner", "ffn_dim") or 4 * hidden
    return ModelShape(
        layers=layers, hidden=hidden, intermediate=intermediate, vocabulary=vocabulary, parameters=parameters
    )


def _learned_of_row(recipe: Recipe, length: int) -> int:
    if recipe.task == "language_modeling" or recipe.data.loss_on == "all":
        return length
    return min(length, _LABEL_TOKENS) if recipe.task == "classification" else length // 2


def _trained_weights(recipe: Recipe, shape: ModelShape) -> int:
    if recipe.trainer == "full":
        return shape.parameters
    if recipe.trainer == "adapters" and recipe.options.get("method", "bottleneck") == "bottleneck":
        return shape.layers * 2 * 2 * shape.hidden * max(8, shape.hidden // 16)
    block = recipe.options.get("peft")
    rank = recipe.options.get("r", block.get("r", 16) if isinstance(block, Mapping) else 16)
    rank = rank if isinstance(rank, int) else 16
    # all-linear: four maps hidden <-> hidden and three hidden <-> intermediate a layer
    return shape.layers * rank * (4 * 2 * shape.hidden + 3 * (shape.hidden + shape.intermediate))


def _parameters(file: Path) -> int:
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def _first(config: Mapping[str, Json], *names: str) -> int | None:
    return next((value for name in names if isinstance(value := config.get(name), int)), None)
