"""The rows that graph and model read while a fault is located. A leaf module: it imports torch and transformers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, PreTrainedModel

from slmcheck.backends import PaddedBatch

ROWS = 12
"""Rows of one feed, at most."""
PADDING = 3
"""Padding beside the longest row too."""
DECODED = 3
"""Tokens that are read behind a past."""
BEHIND_A_PAST = "behind a past"
ACTIVATIONS = 1 << 26
"""Values of all recorded activations of one feed, at most: 256 MB."""

Past = tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]


@dataclass(frozen=True, eq=False)
class Feed:
    """One call of the model."""

    name: str
    """How the rows are laid out, in words."""
    ids: NDArray[np.int64]
    """Shape (rows, tokens)."""
    mask: NDArray[np.int64]
    """1 where a token stands, over past and tokens; shape (rows, past + tokens)."""
    positions: NDArray[np.int64]
    """Shape (rows, tokens)."""
    past: Past | None = None
    """Keys and values of every layer, each (rows, heads, past, width); None reads from the beginning."""

    @property
    def attended(self) -> NDArray[np.bool_]:
        """Where a token of this call stands; shape (rows, tokens)."""
        return np.asarray(self.mask[:, -self.ids.shape[1] :] == 1)


def feeds_of(
    model: PreTrainedModel, sequences: Sequence[Sequence[int]], *, decodes: bool = True, pads_left: bool = True
) -> list[Feed]:
    """Rows padded left, rows padded right, and a few tokens behind a past that the model made.

    Args:
        model: The PyTorch model.
        sequences: Token ids of the rows, each at least two tokens.
        decodes: Whether the graph reads tokens behind a past. One that does not is an encoder's or a plain graph, and
            an encoder reads rows that are padded on the right only.
        pads_left: Whether the graph reads rows that are padded on the left.
    """
    longest = sorted(sequences, key=len, reverse=True)
    some = _affordable(model, longest)
    right = _padded("rows padded right", some, pad_left=False)
    if not decodes and not _is_causal(model):
        return [right]
    if not pads_left:  # a past of several lengths would be padded on the left
        return [right, *_behind_a_past(model, some[:1])] if decodes else [right]
    left = _padded("rows padded left", some, pad_left=True)
    if not decodes:
        return [left, right]
    short = [sequence for sequence in some if len(sequence) > DECODED + 1] or some
    return [left, right, *_behind_a_past(model, short)]


def small_feed(model: PreTrainedModel, sequences: Sequence[Sequence[int]], unlike: frozenset[int]) -> Feed:
    """Two short rows of a length that no size of the model has, so that shapes tell which axis holds tokens."""
    length = next(size for size in (7, 11, 13, 17, 19, 23) if size not in unlike)
    source = [token for sequence in sequences for token in sequence]
    rows = [[source[(row * length + place) % len(source)] for place in range(length)] for row in range(2)]
    return _padded("two short rows", rows, pad_left=False, padding=0)


def call(model: PreTrainedModel, feed: Feed) -> tuple[NDArray[np.float32], Past]:
    """The model's logits, (rows, tokens, vocabulary) or (rows, labels), and its keys and values behind the call."""
    accepted = inspect.signature(model.forward).parameters
    keywords: dict[str, object] = {
        "input_ids": torch.from_numpy(feed.ids),
        "attention_mask": torch.from_numpy(feed.mask),
    }
    cache = DynamicCache()
    if _is_causal(model):
        for layer, (key, value) in enumerate(feed.past or ()):
            cache.update(torch.from_numpy(key), torch.from_numpy(value), layer)
        name = "cache" if "cache" in accepted else "past_key_values"
        keywords |= {"use_cache": True, name: cache, "position_ids": torch.from_numpy(feed.positions)}
    with torch.no_grad():
        outputs = model(**keywords)
    layers = getattr(cache, "layers", [])
    past = tuple((layer.keys.numpy().copy(), layer.values.numpy().copy()) for layer in layers)
    return outputs.logits.float().numpy(), past


def _is_causal(model: PreTrainedModel) -> bool:
    return bool({"past_key_values", "cache"} & set(inspect.signature(model.forward).parameters)) and not hasattr(
        model, "classifier"
    )


def _padded(name: str, rows: Sequence[Sequence[int]], *, pad_left: bool, padding: int = PADDING) -> Feed:
    batch = PaddedBatch.of(rows, pad_id=0, pad_left=pad_left, padding=padding)
    return Feed(name, batch.ids, batch.mask, batch.positions)


def _behind_a_past(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> list[Feed]:
    beginnings = _padded("past", [row[:-DECODED] for row in rows if len(row) > DECODED] or rows, pad_left=True)
    ends = [row[-DECODED:] for row in rows if len(row) > DECODED]
    if not ends:
        return []
    _, past = call(model, beginnings)
    if not past:
        return []
    ids = np.asarray(ends, dtype=np.int64)
    mask = np.concatenate([beginnings.mask, np.ones_like(ids)], axis=1)
    positions = beginnings.mask.sum(axis=1, keepdims=True) + np.arange(DECODED)
    return [Feed(f"{DECODED} tokens {BEHIND_A_PAST}", ids, mask, positions, past)]


def _affordable(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """As many of the rows, longest and shortest in turn, as their activations leave memory for."""
    config = model.config.get_text_config()
    modules = sum(1 for module in model.modules() if not list(module.children()))
    a_token = max(1, modules) * int(getattr(config, "hidden_size", 64)) * 2 + int(getattr(config, "vocab_size", 0))
    mixed = [rows[place // 2] if place % 2 == 0 else rows[-1 - place // 2] for place in range(len(rows))]
    count = max(1, min(ROWS, ACTIVATIONS // max(1, a_token * (len(rows[0]) + PADDING))))
    return mixed[:count]
