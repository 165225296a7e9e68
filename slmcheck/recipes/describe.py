"""The hyperparameters of a recipe as a report shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from slmcheck.records import Json, Recipe, to_json

_ALWAYS = (
    "trainer",
    "task",
    "learning_rate",
    "lr_scheduler_type",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "seed",
)
_NEVER = frozenset(
    {"name", "path", "base_model", "data", "evaluation", "options", "logging_steps", "report_to", "search", "examples"}
)


def describe(recipe: Recipe) -> Mapping[str, Json]:
    """Hyperparameters by name: those that readers look for, every other one that differs from its default, options.

    Nested fields have dotted names: `options.r`, `data.max_length`, `evaluation.temperature`.
    """
    shown: dict[str, Json] = {}
    values = {item.name: getattr(recipe, item.name) for item in fields(recipe)}
    if recipe.max_steps is None and recipe.num_train_epochs is None:
        values["num_train_epochs"] = 3.0
    for name in _ALWAYS:
        if values[name] is not None:
            shown[name] = to_json(values[name])
    shown.update({f"options.{name}": to_json(value) for name, value in recipe.options.items()})
    shown["data.max_length"] = recipe.data.max_length
    for prefix, record in (("", recipe), ("data.", recipe.data), ("evaluation.", recipe.evaluation)):
        for item in fields(record):
            name, value = f"{prefix}{item.name}", getattr(record, item.name)
            if name in shown or item.name in _NEVER or name in ("data.train", "data.test", "data.slices"):
                continue
            default = item.default if item.default_factory is None or not callable(item.default_factory) else None
            if value not in (default, None) and value not in ((), {}, ""):
                shown[name] = to_json(value)
    return shown
