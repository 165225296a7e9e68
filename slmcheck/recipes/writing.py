"""A proposed recipe -> the text of its file."""

from __future__ import annotations

import json
import re

from slmcheck.recipes.propose import Proposal
from slmcheck.records import Json, SlicePredicate


def recipe_text(
    proposal: Proposal,
    *,
    train: str,
    test: str | None = None,
    validation: str | float = 0.15,
    base_model: str = "slmcheck/tiny",
    learning_rate: float = 3e-3,
    num_train_epochs: float = 5,
) -> str:
    """The recipe of a proposal as YAML, with its reasons as comments.

    Args:
        proposal: What `propose` gave.
        train: Source of the training rows, relative to the recipe.
        test: Source of the test rows; without it scores are of the validation rows, and the recipe says so.
        validation: Share, or source.
        base_model: As in a recipe. Models of a few million parameters want a rate of 1e-3 to 3e-3, from 100 million on
            1e-4 to 3e-4.
        learning_rate: Peak learning rate.
        num_train_epochs: Passes over the training rows.
    """
    data: list[str] = [f"train: {_scalar(train)}", f"validation: {_scalar(validation)}"]
    data.append(f"test: {_scalar(test)}" if test else "evaluate_on: validation")
    for name in ("text_template", "messages", "answer", "references", "id"):
        value = getattr(proposal, name)
        if value is not None:
            data.append(f"{name}: {_scalar(value)}")
    data.append(f"max_length: {proposal.max_length}")
    if proposal.slices:
        data.append("slices:")
        data += [f"  {name}: {_predicate(item)}" for name, item in proposal.slices.items()]
    lines = [
        *(f"# {reason}" for reason in proposal.reasons),
        f"base_model: {base_model}",
        "trainer: lora",
        f"task: {proposal.task}",
        "data:",
        *(f"  {line}" for line in data),
        f"learning_rate: {_scalar(learning_rate)}",
        "lr_scheduler_type: cosine",
        "warmup_ratio: 0.1",
        f"num_train_epochs: {num_train_epochs:g}",
        "per_device_train_batch_size: 16",
        "early_stopping_patience: 3",
        "seed: 0",
        "options: {r: 16, lora_alpha: 32, lora_dropout: 0.05, target_modules: all-linear}",
    ]
    return "\n".join(lines) + "\n"


def _predicate(item: SlicePredicate) -> str:
    parts = [f"field: {_scalar(item.field)}"]
    for name, value in (("equals", item.equals), ("max_words", item.max_words)):
        if value is not None:
            parts.append(f"{name}: {_scalar(value)}")
    return "{" + ", ".join(parts) + "}"


_PLAIN = re.compile(r"^(?!(?:true|false|yes|no|on|off|null|y|n)$)[A-Za-z_./][\w./-]*$", re.IGNORECASE)


def _scalar(value: Json) -> str:
    """A value as YAML 1.1 reads it back: floats with a dot, texts quoted unless they are plain words."""
    if isinstance(value, float):
        text = f"{value:g}"
        mantissa, mark, exponent = text.partition("e")
        return text if "." in mantissa or not mark else f"{mantissa}.0e{exponent}"
    if isinstance(value, str) and _PLAIN.match(value):
        return value
    return json.dumps(value, ensure_ascii=False)
