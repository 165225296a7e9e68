"""Findings of a training that ended without a result."""

from __future__ import annotations

from collections.abc import Iterator

from slmcheck.diagnosis.curves import descent_of
from slmcheck.diagnosis.learning import calmer
from slmcheck.diagnosis.observed import Observed
from slmcheck.records import Finding, Json

_MEMORY_WORDS = ("memory", "MemoryError")


def failure_findings(seen: Observed) -> Iterator[Finding]:
    """Why it ended, where that has a cause of its own."""
    if seen.failure_kind == "NonFiniteLossError":
        yield _non_finite(seen)
    elif seen.failure and any(word in seen.failure for word in _MEMORY_WORDS):
        yield _out_of_memory(seen)


def _non_finite(seen: Observed) -> Finding:
    lines = seen.failure.splitlines()
    descent = descent_of(seen.history)
    return Finding(
        cause="non-finite-loss",
        severity="problem",
        summary=lines[0] if lines else "The loss became NaN or infinite.",
        evidence=(
            *lines[1:2],
            *([f"Highest training loss before {descent.peak:.3g} nats a token."] if descent is not None else []),
        ),
        remedy=f"Lower learning_rate to {seen.recipe.learning_rate / 5:.2g} and warm up"
        + ("; bf16 in place of fp16." if seen.recipe.fp16 else "."),
        recipe_patch=calmer(seen),
        next_experiment=f"slmcheck train {seen.recipe.name}",
    )


def _out_of_memory(seen: Observed) -> Finding:
    recipe = seen.recipe
    whole = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
    patch: dict[str, Json] = {}
    if not recipe.gradient_checkpointing:
        patch["gradient_checkpointing"] = True
    if recipe.per_device_train_batch_size > 1:
        patch |= {"per_device_train_batch_size": 1, "gradient_accumulation_steps": whole}
    if recipe.trainer == "full":
        patch["trainer"] = "lora"
    lines = seen.failure.splitlines()
    return Finding(
        cause="out-of-memory",
        severity="problem",
        summary=lines[0],
        evidence=tuple(lines[1:3]),
        remedy="Checkpoint gradients, take single rows and add up their gradients, then trainer: qlora; bf16 halves "
        "the activations on a GPU.",
        recipe_patch=patch,
        next_experiment=f"slmcheck plan {recipe.name}",
    )
