"""Attention over several sequences laid end to end in one row: no padding, and no sequence sees another.

transformers calls the attention function registered here with the queries, keys and values of the whole row; the plan
of the current forward pass says which token may see which. A plan belongs to one thread, so several threads can use
one model. A leaf module: it imports torch and transformers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

from slmcheck.backends.layout import Segment

NAME = "slmcheck_packed"
"""Name of the attention implementation in transformers."""


class UnsupportedAttentionError(Exception):
    """A layer asks for an attention that the plans do not compute."""


@dataclass(frozen=True, kw_only=True)
class LayerCall:
    """One layer's attention: queries (1, heads, tokens, width), keys and values (1, key heads, tokens, width)."""

    layer: int
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    scaling: float | None
    window: int | None
    softcap: float | None


class Plan(Protocol):
    """Who sees whom in one forward pass."""

    def attend(self, call: LayerCall) -> torch.Tensor:
        """The layer's attention output; shape (1, tokens, heads, width)."""
        ...


_current = threading.local()


@contextmanager
def planned(plan: Plan) -> Iterator[None]:
    """Use a plan for the forward passes of this thread."""
    _current.plan = plan
    try:
        yield
    finally:
        _current.plan = None


def attend_as_planned(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_ignored: object,
) -> tuple[torch.Tensor, None]:
    """The attention function that transformers calls."""
    plan: Plan | None = getattr(_current, "plan", None)
    if plan is None or attention_mask is not None or s_aux is not None:
        raise UnsupportedAttentionError("attention sinks and masks of the model's own are not planned")
    call = LayerCall(
        layer=int(module.layer_idx),
        query=query,
        key=key,
        value=value,
        scaling=scaling,
        window=sliding_window,
        softcap=softcap,
    )
    return plan.attend(call), None


AttentionInterface.register(NAME, attend_as_planned)
AttentionMaskInterface.register(NAME, lambda *_args, **_kwargs: None)  # a tokens x tokens mask is never built


Keep = Callable[[LayerCall], None]


@dataclass(eq=False)
class PackedPlan:
    """Every segment by itself: the trunk causally, the branches along their own path."""

    segments: Sequence[Segment]
    keep: Keep | None = None
    """Is given every layer's keys and values."""
    windows: set[int] = field(default_factory=set)
    """The sliding windows that layers asked for."""
    _masks: dict[tuple[int, str, int | None], torch.Tensor] = field(default_factory=dict)

    def attend(self, call: LayerCall) -> torch.Tensor:
        """See `Plan`."""
        if self.keep is not None:
            self.keep(call)
        if call.window is not None:
            self.windows.add(call.window)
        _, heads, tokens, _ = call.query.shape
        out = call.query.new_zeros((1, tokens, heads, call.value.shape[3]))  # tokens of no segment are filling
        for index, segment in enumerate(self.segments):
            start, middle, stop = segment.start, segment.start + segment.trunk, segment.stop
            keys, values = call.key[:, :, start:stop], call.value[:, :, start:stop]
            if segment.shared:
                keys = torch.cat((call.key[:, :, : segment.shared], keys), dim=2)
                values = torch.cat((call.value[:, :, : segment.shared], values), dim=2)
                out[:, start:stop] = _attention(call, start, stop, keys, values, self._mask(call, index, "whole"))
                continue
            plain = call.softcap is None and (call.window is None or segment.trunk <= call.window)
            mask = None if plain else self._mask(call, index, "trunk")
            trunk = slice(0, segment.trunk)
            out[:, start:middle] = _attention(call, start, middle, keys[:, :, trunk], values[:, :, trunk], mask)
            if middle < stop:
                out[:, middle:stop] = _attention(call, middle, stop, keys, values, self._mask(call, index, "branches"))
        return out

    def _mask(self, call: LayerCall, index: int, part: Literal["whole", "trunk", "branches"]) -> torch.Tensor:
        """What a part of a segment sees; made once for all layers of one window."""
        name = (index, part, call.window)
        if name not in self._masks:
            segment = self.segments[index]
            seen = segment.sees()
            if call.window is not None:
                keys = np.concatenate([np.arange(segment.shared), segment.positions])
                seen &= segment.positions[:, None] - keys[None, :] < call.window
            if part == "trunk":
                seen = seen[: segment.trunk, : segment.trunk]
            elif part == "branches":
                seen = seen[segment.trunk :]
            self._masks[name] = torch.from_numpy(np.ascontiguousarray(seen)).to(call.query.device)
        return self._masks[name]


def _attention(
    call: LayerCall, start: int, stop: int, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Attention of the queries from `start` to `stop`, causal without a mask; shape (1, queries, heads, width)."""
    query = call.query[:, :, start:stop]
    if call.softcap is not None:
        return capped_attention(query, keys, values, mask, call.scaling, call.softcap).transpose(1, 2)
    out = functional.scaled_dot_product_attention(
        query,
        keys,
        values,
        attn_mask=mask,
        is_causal=mask is None,
        scale=call.scaling,
        enable_gqa=query.shape[1] != keys.shape[1],
    )
    return out.transpose(1, 2)


def capped_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float,
) -> torch.Tensor:
    """Attention whose scores pass through softcap * tanh(score / softcap), as in Gemma 2; the shape of `query`."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.tanh(query @ key.transpose(2, 3) * scale / softcap) * softcap
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores.float(), dim=-1).to(query.dtype) @ value
