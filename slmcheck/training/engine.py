"""How batches are made and attention is computed for a model: probed once, never assumed.

Flat batches with attention by rows are the fastest; they are used only where two rows together give the same as each
alone with the model's own attention. A leaf module: it imports torch and transformers at its top and is itself imported
only by the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from slmcheck.training import attention
from slmcheck.training.batches import (
    Batch,
    Feature,
    FlatCollator,
    FlatPositionsCollator,
    PaddedCollator,
    feature_of,
)
from slmcheck.training.label_loss import learned_tokens, learns_virtual_tokens
from slmcheck.training.token_rows import TokenRow

TOLERANCE = 1e-4
"""Largest difference of a token's nats in float32."""
HALF_TOLERANCE = 3e-2
"""The same where weights or activations are half precision."""


@dataclass(frozen=True)
class Engine:
    """How batches are made."""

    name: str
    """In words, for the history."""
    collate: Callable[[Sequence[Feature]], Batch]
    padded: bool
    largest_difference: float
    """Of a token's nats between a batch of two rows and each row alone."""


def choose_engine(model: nn.Module, rows: Sequence[TokenRow], *, pad_id: int, device: torch.device) -> Engine:
    """The fastest way of making batches under which rows do not see each other; sets the model's attention.

    Args:
        model: The model, on its device.
        rows: All rows that will be read; the longest of them is tried.
        pad_id: Token that fills padded batches.
        device: Where the model is.
    """
    if learns_virtual_tokens(model):
        return Engine("padded batches of rows of like length, behind virtual tokens", PaddedCollator(pad_id), True, 0.0)
    pair = _probe_rows(rows)
    own_attention = model.config._attn_implementation
    tolerance = (
        TOLERANCE
        if all(p.dtype == torch.float32 for p in model.parameters() if p.is_floating_point())
        else HALF_TOLERANCE
    )
    padded = PaddedCollator(pad_id)
    alone = torch.cat([_nats(model, padded, [row], device) for row in pair])
    attention.register()
    refused = []
    for name, implementation, collate in (
        ("flat batches, attention by rows", attention.NAME, FlatCollator()),
        ("flat batches, rows told apart by their positions", own_attention, FlatPositionsCollator()),
    ):
        try:
            model.set_attn_implementation(implementation)
            if model.config._attn_implementation != implementation:
                refused.append(f"{name}: the model's attention cannot be set")
                continue
            together = _nats(model, collate, pair, device)
        except (attention.UnsupportedAttentionError, ValueError, TypeError) as error:
            refused.append(f"{name}: {error}")
            continue
        difference = float((together - alone).abs().max())
        if difference <= tolerance:
            return Engine(_described(name, refused), collate, False, difference)
        refused.append(f"{name}: rows see each other, {difference:.2g} nats")
    model.set_attn_implementation(own_attention)
    difference = float((_nats(model, padded, pair, device) - alone).abs().max())
    return Engine(_described("padded batches of rows of like length", refused), padded, True, difference)


def _described(name: str, refused: Sequence[str]) -> str:
    return f"{name} (not used: {'; '.join(refused)})" if refused else name


def _probe_rows(rows: Sequence[TokenRow]) -> list[TokenRow]:
    """The longest row, where a sliding window would show, behind one of middle length, which it could see."""
    by_length = sorted(rows, key=lambda row: len(row.ids))
    return [by_length[(len(rows) - 1) // 2], by_length[-1]]


def _nats(
    model: nn.Module, collate: Callable[[Sequence[Feature]], Batch], rows: Sequence[TokenRow], device: torch.device
) -> torch.Tensor:
    was_training = model.training
    model.eval()
    batch = {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in collate([feature_of(row) for row in rows]).items()
    }
    with torch.no_grad():
        nats = learned_tokens(model, batch).nll().cpu()
    model.train(was_training)
    return nats
