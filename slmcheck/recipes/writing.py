"""A proposed recipe -> the text of its file."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence

from slmcheck.recipes.propose import Proposal
from slmcheck.records import Json, SlicePredicate


def recipe_text(
    proposal: Proposal,
    *,
    train: str | None,
    test: str | None = None,
    adapter: str | None = None,
    labels: Sequence[str] = (),
    validation: str | float = 0.15,
    base_model: str = "slmcheck/tiny",
    learning_rate: float = 3e-3,
    num_train_epochs: float = 5,
) -> str:
    """The recipe of a proposal as YAML, with its reasons as comments.

    Args:
        proposal: What `propose` gave.
        train: Source of the training rows, relative to the recipe; None where they are not known, as they may be for
            an adapter.
        test: Source of the test rows; without it scores are of the validation rows, and the recipe says so.
        adapter: An adapter that was trained already, relative to the recipe; then nothing is trained.
        labels: The options of a classification, where no training rows tell them.
        validation: Share, or source.
        base_model: As in a recipe. Models of a few million parameters want a rate of 1e-3 to 3e-3, from 100 million on
            1e-4 to 3e-4.
        learning_rate: Peak learning rate.
        num_train_epochs: Passes over the training rows.
    """
    data: list[str] = [] if train is None else [f"train: {_scalar(train)}"]
    data += [] if adapter is not None else [f"validation: {_scalar(validation)}"]
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
        f"trainer: {'lora' if adapter is None else 'pretrained'}",
        f"task: {proposal.task}",
        *([f"labels: [{', '.join(_scalar(label) for label in labels)}]"] if labels else []),
        "data:",
        *(f"  {line}" for line in data),
    ]
    if adapter is not None:
        return "\n".join([*lines, f"options: {{adapter: {_scalar(adapter)}}}"]) + "\n"
    lines += [
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


def fields_text(fields: Mapping[str, Json], comments: Sequence[str] = ()) -> str:
    """The fields of a recipe as YAML, comments first; mappings of the top are blocks, what is in them one line each."""
    lines = [f"# {line}" for text in comments for line in textwrap.wrap(text, 116, subsequent_indent="    ")]
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            lines.append(f"{name}:")
            lines += [f"  {inner}: {_flow(item)}" for inner, item in value.items()]
        else:
            lines.append(f"{name}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: Json) -> str:
    """A value on one line, exactly."""
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(name)}: {_flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, float):
        mantissa, mark, exponent = repr(value).partition("e")
        return f"{mantissa}.0e{exponent}" if mark and "." not in mantissa else repr(value)
    return _scalar(value)


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
