"""A language model in PyTorch: packed forward passes where the architecture allows them, padded ones where not.

A leaf module: it imports torch and transformers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from slmcheck.backends.decoding import StaticDecoder
from slmcheck.backends.facts import ModelFacts
from slmcheck.backends.head import LanguageHead, filling
from slmcheck.backends.layout import SHARED_FROM, lay_out, plain_segments
from slmcheck.backends.packed_attention import PackedPlan, Plan, planned
from slmcheck.backends.protocol import Decoder, PaddedBatch, TokenTree
from slmcheck.data.tokenizers import TextTokenizer

CACHE_BYTES = 1 << 29
"""Keys and values of all rows under generation, at most; of all threads together."""
GPU_CACHE_BYTES = 1 << 32


class PackedModel:
    """A causal language model whose sequences lie end to end in one row, without padding."""

    backend = "pytorch"
    engine = "packed: sequences end to end, attention per sequence"
    rows_alone = False
    shares_beginnings = True
    pads_left = True

    def __init__(self, model: PreTrainedModel, tokenizer: TextTokenizer, head: LanguageHead, facts: ModelFacts) -> None:
        self.tokenizer, self.checkpoint_key, self.environment = tokenizer, facts.checkpoint_key, facts.environment
        self.eos_ids, self.context_tokens = facts.eos_ids, facts.context_tokens
        self.vocabulary_size = facts.vocabulary_size
        self.workers = facts.environment.threads if facts.environment.device == "cpu" else 1
        self.windows: set[int] = set()
        """The sliding windows that layers asked for so far."""
        self.shared_from = SHARED_FROM
        self._body, self._head, self._device = model.base_model, head, model.device
        self._bytes_a_token = _cache_bytes_a_token(model)
        self._cache_bytes = CACHE_BYTES // self.workers if model.device.type == "cpu" else GPU_CACHE_BYTES

    def log_probabilities(self, trees: Sequence[TokenTree]) -> list[NDArray[np.float64]]:
        """See `LanguageModel`."""
        row = lay_out(trees, shared_from=self.shared_from)
        order = np.argsort(row.asked, kind="stable")
        places, rows = np.unique(row.asked[order], return_inverse=True)
        targets = np.concatenate([tree.targets for tree in trees])[order]
        values = np.empty(len(order), dtype=np.float64)
        with torch.inference_mode():
            hidden = self._hidden(row.tokens, row.positions, PackedPlan(row.segments, windows=self.windows))
            found = self._head.log_probabilities(
                hidden[self._tensor(places)], self._tensor(rows), self._tensor(targets)
            )
            values[order] = found.cpu().numpy()
        return np.split(values, np.cumsum([len(tree.asked) for tree in trees])[:-1])

    def logits(self, batch: PaddedBatch) -> list[NDArray[np.float32]]:
        """See `LanguageModel`; padding is taken out first."""
        kept = batch.mask.astype(bool)
        segments = plain_segments(kept.sum(axis=1).tolist())
        with torch.inference_mode():
            hidden = self._hidden(batch.ids[kept], batch.positions[kept], PackedPlan(segments, windows=self.windows))
            return [self._head.logits(hidden[one.start : one.stop]).cpu().numpy() for one in segments]

    def decoder(self, *, rows: int, length: int) -> Decoder:
        """See `LanguageModel`; fewer rows where their keys and values would take too much memory."""
        affordable = max(1, self._cache_bytes // (length * self._bytes_a_token))
        return StaticDecoder(
            self._hidden, self._head.logits, rows=min(rows, affordable), length=length, device=self._device
        )

    def _hidden(self, ids: NDArray[np.int64], positions: NDArray[np.int64], plan: Plan) -> torch.Tensor:
        """Hidden states of one forward pass; shape (tokens,) -> (tokens, width)."""
        added = (0, filling(len(ids)))
        with planned(plan):
            hidden: torch.Tensor = self._body(
                input_ids=self._tensor(np.pad(ids, added))[None],
                position_ids=self._tensor(np.pad(positions, added))[None],
                use_cache=False,
            ).last_hidden_state[0]
        return hidden[: len(ids)]

    def _tensor(self, values: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(self._device)


def _cache_bytes_a_token(model: PreTrainedModel) -> int:
    """Bytes that keys and values of one token take; about right for every architecture that can be packed."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)
