"""Attention over flat batches: rows stand behind each other in one long row and do not see each other.

A leaf module: it imports torch and transformers at its top and is itself imported only by the loop.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional
from transformers.masking_utils import AttentionMaskInterface
from transformers.modeling_utils import AttentionInterface

NAME = "slm_varlen"


class UnsupportedAttentionError(RuntimeError):
    """The model asks for something that attention by rows does not do."""


def attention_by_rows(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: torch.Tensor | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each row of a flat batch.

    Args:
        module: The attention module; says whether it trains.
        query: Shape (1, heads, tokens, head size).
        key: Shape (1, key heads, tokens, head size).
        value: As `key`.
        attention_mask: Not used: rows are told apart by `cu_seq_lens_q`.
        scaling: Factor of the scores.
        dropout: Probability of dropping an attention weight in training.
        cu_seq_lens_q: Where rows begin and end, as flash attention takes them; shape (rows + 1,).
        sliding_window: How far back a token sees; no row may be longer.
        softcap: Not supported.
        s_aux: Attention sinks; not supported.

    Returns:
        Shape (1, tokens, heads, head size), and no attention weights.

    Raises:
        UnsupportedAttentionError: If the model asks for what is not supported, or passes no `cu_seq_lens_q`.
    """
    if cu_seq_lens_q is None or softcap or s_aux is not None:
        raise UnsupportedAttentionError(f"{NAME} needs cu_seq_lens_q and knows no softcap and no sinks")
    ends = cu_seq_lens_q.tolist()
    spans = list(pairwise(ends))
    if sliding_window and max(end - begin for begin, end in spans) > sliding_window:
        raise UnsupportedAttentionError(f"a row is longer than the sliding window of {sliding_window} tokens")
    rows = [
        functional.scaled_dot_product_attention(
            query[:, :, begin:end],
            key[:, :, begin:end],
            value[:, :, begin:end],
            is_causal=True,
            scale=scaling,
            dropout_p=dropout if module.training else 0.0,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        for begin, end in spans
    ]
    return torch.cat(rows, dim=2).transpose(1, 2).contiguous(), None


def register() -> None:
    """Make the attention known to transformers under `NAME`, without any mask."""
    AttentionInterface.register(NAME, attention_by_rows)
    AttentionMaskInterface.register(NAME, _no_mask)


def _no_mask(*_: object, **__: object) -> None:
    return None
