"""Examples in the prompt: training rows shown before each question (`evaluation.few_shot`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from slmcheck.data.digests import normalized_input
from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.data.splits import Splits
from slmcheck.records import Example, Recipe

SEPARATOR = "\n\n"
"""Between the examples of a text prompt."""


def with_shots(recipe: Recipe, splits: Splits, examples: Sequence[Example]) -> tuple[Example, ...]:
    """The examples with `few_shot` training rows before each prompt; unchanged where the recipe asks for none.

    The same rows for every example: those with the smallest ids, label by label for a classification. A row never
    stands before itself or its duplicates.
    """
    count = recipe.evaluation.few_shot
    if not count:
        return tuple(examples)
    pool = list(_ranked(recipe, splits.train))
    shown = [(item, normalized_input(item)) for item in pool[: 4 * count + 16]]
    prompted = []
    for example in examples:
        own = normalized_input(example)
        shots = [item for item, text in shown if text != own][:count]
        prompted.append(_prompted(example, shots))
    return tuple(prompted)


def _ranked(recipe: Recipe, train: Sequence[Example]) -> Iterator[Example]:
    ordered = sorted(train, key=lambda item: item.id)
    if recipe.task not in CLASSIFICATIONS:
        yield from ordered
        return
    by_label: dict[str, list[Example]] = {}
    for item in ordered:
        by_label.setdefault(item.references[0], []).append(item)
    queues = [by_label[label] for label in sorted(by_label)]
    for turn in range(max(map(len, queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))


def _prompted(example: Example, shots: Sequence[Example]) -> Example:
    if not example.messages:
        before = "".join(item.prompt + item.answer + SEPARATOR for item in shots)
        return replace(example, prompt=before + example.prompt)
    turns = [message for item in shots for message in item.messages if message["role"] != "system"]
    system = [message for message in example.messages if message["role"] == "system"]
    own = [message for message in example.messages if message["role"] != "system"]
    return replace(example, messages=(*system, *turns, *own))
