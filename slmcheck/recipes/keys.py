"""What identifies a run and a set of predictions: exactly what was asked for, never where or when it was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from slmcheck.data import Splits, training_digest
from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.recipes.base_models import FileDigest, base_model_of, content_identity, sha256_of
from slmcheck.recipes.loading import resolved_options
from slmcheck.records import Example, Json, PredictionKind, Recipe, Split, fields_of_stage, to_json
from slmcheck.storage import digest

DEFAULT_EPOCHS = 3.0
"""Passes over the training rows when neither epochs nor steps are given."""

BY_CONTENT: Final = frozenset({"base_model", "data", "options", "save_steps"})
"""Training fields of the top that stand in the run key by their content instead of their text."""
DATA_BY_CONTENT: Final = frozenset({"train", "validation"})

_ASKED: Mapping[PredictionKind, tuple[str, ...]] = {
    "options": ("normalization", "few_shot"),
    "generate": ("max_new_tokens", "stop", "temperature", "top_p", "samples", "few_shot"),
    "nll": ("window", "stride", "few_shot"),
}
"""The evaluation fields that decide each kind of prediction."""


def run_inputs(
    recipe: Recipe,
    splits: Splits,
    *,
    trainer_version: int,
    training_version: int,
    file_digest: FileDigest | None = None,
) -> Json:
    """Everything that decides the weights of a run, as a JSON value whose digest is the run key.

    Args:
        recipe: Its training fields count, with defaults filled in; paths, names and display fields do not.
        splits: Training and validation rows count as the template uses them, in their order.
        trainer_version: `cache_version` of the trainer plugin.
        training_version: `slmcheck.training.CACHE_VERSION`.
        file_digest: As in `base_model_of`.

    Raises:
        RecipeError: If the base model cannot be found.
    """
    fields = {name: value for name, value in fields_of_stage(recipe, "training").items() if name not in BY_CONTENT}
    if recipe.max_steps is None and recipe.num_train_epochs is None:
        fields["num_train_epochs"] = DEFAULT_EPOCHS
    data = {
        name: value for name, value in fields_of_stage(recipe.data, "training").items() if name not in DATA_BY_CONTENT
    }
    if recipe.task == "sequence_classification":
        fields["labels"] = splits.labels
    contents = file_digest or sha256_of
    if recipe.loss is not None:
        file, _, name = recipe.loss.partition(":")
        fields["loss"] = [content_identity(file, recipe.directory, contents), name]
    options = {name: _by_content(value, recipe.directory, contents) for name, value in resolved_options(recipe).items()}
    inputs: dict[str, Json] = {
        "base_model": base_model_of(recipe, file_digest=file_digest).identity,
        "recipe": to_json(fields),
        "data": to_json(data),
        "options": options,
        "train": _rows("train", splits, recipe),
        "validation": _rows("validation", splits, recipe),
        "trainer_version": trainer_version,
        "training_version": training_version,
    }
    return inputs


def run_key(inputs: Json) -> str:
    """The key of a run: the digest of its inputs."""
    return digest("run", inputs)


def prediction_inputs(
    recipe: Recipe,
    *,
    checkpoint_key: str,
    kind: PredictionKind,
    inference_version: int,
    backend: str = "pytorch",
    precision: str = "fp32",
    batch_invariant: bool = False,
) -> Json:
    """Everything but the rows that decides a set of predictions, as a JSON value whose digest is its key.

    Args:
        recipe: Only the evaluation fields that decide this kind of prediction count. What is rendered (template,
            messages, options) is part of each row's digest instead, so that new rows are added to an existing set.
        checkpoint_key: Whose answers they are.
        kind: What the model is asked.
        inference_version: `slmcheck.inference.CACHE_VERSION`.
        backend: What runs the model.
        precision: Precision of the weights.
        batch_invariant: Whether results are bitwise independent of the batch.
    """
    asked = recipe.evaluation
    evaluation = {name: to_json(getattr(asked, name)) for name in _ASKED[kind]}
    if kind == "generate" and asked.temperature > 0:
        evaluation["seed"] = recipe.seed
    return {
        "checkpoint": checkpoint_key,
        "kind": kind,
        "evaluation": evaluation,
        "inference_version": inference_version,
        "backend": backend,
        "precision": precision,
        "batch_invariant": batch_invariant,
    }


def prediction_key(inputs: Json) -> str:
    """The key of a set of predictions: the digest of its inputs."""
    return digest("predictions", inputs)


def _by_content(value: Json, directory: Path, contents: FileDigest) -> Json:
    """An option with files and folders, also those of a list, in place of their names."""
    if isinstance(value, str):
        return content_identity(value, directory, contents)
    if isinstance(value, list):
        return [_by_content(item, directory, contents) for item in value]
    return value


def _rows(split: Split, splits: Splits, recipe: Recipe) -> Json:
    identity = splits.identities.get(split)
    if identity is not None:
        return {"hub": identity}
    if split == "validation" and not isinstance(recipe.data.validation, tuple) and "train" in splits.identities:
        return {"share": recipe.data.validation}
    return _digests(splits.of(split), recipe)


def _digests(examples: Sequence[Example], recipe: Recipe) -> Json:
    labelled = recipe.task in CLASSIFICATIONS
    return [training_digest(item, recipe) + (f" {item.references[0]}" if labelled else "") for item in examples]
