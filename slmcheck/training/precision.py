"""Which precision a recipe's `bf16` and `fp16` mean on a device."""

from __future__ import annotations

from typing import Literal

from slmcheck.records import DeviceClass, Recipe

Precision = Literal["float32", "bfloat16", "float16"]


def training_dtype(recipe: Recipe, device: DeviceClass) -> Precision:
    """The precision of activations.

    Half precision is used on a GPU only: on a processor bfloat16 takes 1.8 times as long as float32 and changes the
    numbers, and float16 does not train there.
    """
    if device != "cuda":
        return "float32"
    return "bfloat16" if recipe.bf16 else "float16" if recipe.fp16 else "float32"


def precision_note(recipe: Recipe, device: DeviceClass) -> str | None:
    """What to say when a recipe's wish is not followed."""
    if device == "cuda" or not (recipe.bf16 or recipe.fp16):
        return None
    wish = "bf16" if recipe.bf16 else "fp16"
    return f"'{wish}: true' applies to GPUs; on {device} this run was trained in float32."
