"""Generation step by step: keys and values of every row in place, finished rows leave.

A leaf module: it imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from slmcheck.backends.layout import plain_segments
from slmcheck.backends.packed_attention import LayerCall, PackedPlan, Plan, capped_attention

Hidden = Callable[[NDArray[np.int64], NDArray[np.int64], Plan], torch.Tensor]
"""(token ids, positions, plan) -> hidden states (tokens, width) of one forward pass over one row."""
Logits = Callable[[torch.Tensor], torch.Tensor]
"""Hidden states (rows, width) -> float32 logits (rows, vocabulary)."""


class KeyValueStore:
    """Keys and values of all layers, one slot a row, allocated when the first layer shows its shape."""

    def __init__(self, rows: int, length: int) -> None:
        self.rows, self.length = rows, length
        self.keys: dict[int, torch.Tensor] = {}
        self.values: dict[int, torch.Tensor] = {}

    def layer(self, call: LayerCall) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the layer; shape (rows, key heads, length, width)."""
        if call.layer not in self.keys:
            for store, sample in ((self.keys, call.key), (self.values, call.value)):
                store[call.layer] = sample.new_zeros((self.rows, sample.shape[1], self.length, sample.shape[3]))
        return self.keys[call.layer], self.values[call.layer]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one row over another."""
        for store in (self.keys, self.values):
            for tensor in store.values():
                tensor[target, :, :length] = tensor[source, :, :length]


@dataclass(eq=False)
class StepPlan:
    """One new token for each of the rows, which sees its own past."""

    store: KeyValueStore
    positions: torch.Tensor
    """Where each new token stands; shape (rows,)."""
    length: int
    """Tokens of the longest row, the new one included."""
    _masks: dict[int | None, torch.Tensor] = field(default_factory=dict)

    def attend(self, call: LayerCall) -> torch.Tensor:
        """See `Plan`."""
        rows = len(self.positions)
        keys, values = self.store.layer(call)
        at = torch.arange(rows, device=self.positions.device)
        keys[at, :, self.positions] = call.key[0, :, :rows].transpose(0, 1)
        values[at, :, self.positions] = call.value[0, :, :rows].transpose(0, 1)
        keys, values = keys[:rows, :, : self.length], values[:rows, :, : self.length]
        query = call.query[0].transpose(0, 1)  # (tokens, heads, width); tokens behind the rows are filling
        tokens, heads, width = query.shape
        mask = self._mask(call.window)
        out = query.new_zeros((1, tokens, heads, values.shape[3]))
        if call.softcap is not None:
            capped = capped_attention(query[:rows, :, None], keys, values, mask, call.scaling, call.softcap)
            out[0, :rows] = capped[:, :, 0]
            return out
        # Grouped heads stand in the query's token place, so that no key is repeated.
        grouped = query[:rows].reshape(rows, keys.shape[1], heads // keys.shape[1], width)
        attended = functional.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=call.scaling)
        out[0, :rows] = attended.reshape(rows, heads, values.shape[3])
        return out

    def _mask(self, window: int | None) -> torch.Tensor:
        """What each row sees of its own past; made once for all layers of one window."""
        if window not in self._masks:
            places = torch.arange(self.length, device=self.positions.device)[None, None, None]
            last = self.positions[:, None, None, None]
            seen = places <= last
            self._masks[window] = seen if window is None else seen & (last - places < window)
        return self._masks[window]


class StaticDecoder:
    """A decoder over a packed model; see `slmcheck.backends.Decoder`."""

    def __init__(self, hidden: Hidden, logits: Logits, *, rows: int, length: int, device: torch.device) -> None:
        self._hidden, self._logits, self._device = hidden, logits, device
        self._store = KeyValueStore(rows, length)
        self._lengths = np.zeros(0, dtype=np.int64)

    @property
    def room(self) -> int:
        """How many prompts can be added now."""
        return self._store.rows - len(self._lengths)

    def add(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """See `Decoder`."""
        segments = plain_segments([len(prompt) for prompt in prompts])
        first = len(self._lengths)

        def keep(call: LayerCall) -> None:
            keys, values = self._store.layer(call)
            for row, segment in enumerate(segments, start=first):
                keys[row, :, : segment.trunk] = call.key[0, :, segment.start : segment.stop]
                values[row, :, : segment.trunk] = call.value[0, :, segment.start : segment.stop]

        ids = np.concatenate([np.asarray(prompt, dtype=np.int64) for prompt in prompts])
        positions = np.concatenate([segment.positions for segment in segments])
        with torch.inference_mode():
            hidden = self._hidden(ids, positions, PackedPlan(segments, keep=keep))
            last = torch.tensor([segment.stop - 1 for segment in segments], device=hidden.device)
            logits: NDArray[np.float32] = self._logits(hidden[last]).cpu().numpy()
        self._lengths = np.concatenate([self._lengths, [segment.trunk for segment in segments]]).astype(np.int64)
        return logits

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Decoder`."""
        with torch.inference_mode():
            positions = torch.from_numpy(self._lengths.copy()).to(self._device)
            hidden = self._hidden(tokens, self._lengths, StepPlan(self._store, positions, int(self._lengths.max()) + 1))
            logits: NDArray[np.float32] = self._logits(hidden).cpu().numpy()
        self._lengths = self._lengths + 1
        return logits

    def drop(self, row: int) -> None:
        """See `Decoder`."""
        last = len(self._lengths) - 1
        if row != last:
            with torch.inference_mode():
                self._store.move(last, row, int(self._lengths[last]))
            self._lengths[row] = self._lengths[last]
        self._lengths = self._lengths[:last].copy()
