"""A language model in PyTorch asked in right-padded rectangles: for architectures that cannot be packed.

Causal models never look ahead, so padding behind a sequence changes nothing, whatever the architecture: attention with
biases or sinks, recurrence. A leaf module: it imports torch and transformers.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from slmcheck.backends.facts import ModelFacts
from slmcheck.backends.protocol import Decoder, PaddedBatch, TokenTree
from slmcheck.backends.unrolled import whole_rows
from slmcheck.data.tokenizers import TextTokenizer

CACHES = ("cache", "past_key_values", "cache_params")
"""Names under which transformers keeps what a model remembers between steps."""
LOGITS = 1 << 26
"""Logits of one forward pass, at most: 256 MB in float32."""


class PaddedModel:
    """A causal language model, asked in right-padded rectangles."""

    backend = "pytorch"
    shares_beginnings = False
    pads_left = True

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: TextTokenizer,
        facts: ModelFacts,
        *,
        rows_alone: bool,
        remembers: bool = True,
    ) -> None:
        """Wrap `model`; without `remembers` every step of a generation reads the whole text again."""
        self.tokenizer, self.checkpoint_key, self.environment = tokenizer, facts.checkpoint_key, facts.environment
        self.eos_ids, self.context_tokens, self.rows_alone = facts.eos_ids, facts.context_tokens, rows_alone
        self.vocabulary_size = facts.vocabulary_size
        self.workers = 1  # architectures of this kind may keep state in their modules
        self.engine = "one row a forward pass" if rows_alone else "padded: right-padded rows"
        self._model, self._device = model, model.device
        self._remembers = remembers and not rows_alone
        self._keeps_logits = "logits_to_keep" in inspect.signature(model.forward).parameters

    def log_probabilities(self, trees: Sequence[TokenTree]) -> list[NDArray[np.float64]]:
        """See `LanguageModel`."""
        rows = whole_rows(trees)
        values = [np.empty(len(tree.asked), dtype=np.float64) for tree in trees]
        with torch.inference_mode():
            for span, first, logits in self._passes([row.tokens for row in rows], [row.first_asked for row in rows]):
                log_probabilities = torch.log_softmax(logits.float(), dim=-1)
                for index in span:
                    for one in rows[index].questions:
                        found = log_probabilities[index - span.start, one.place - first, one.target]
                        values[one.tree][one.number] = float(found)
        return values

    def logits(self, batch: PaddedBatch) -> list[NDArray[np.float32]]:
        """See `LanguageModel`."""
        with torch.inference_mode():
            sequences = [row[mask.astype(bool)].tolist() for row, mask in zip(batch.ids, batch.mask, strict=True)]
            found: list[NDArray[np.float32]] = []
            for rows, _, logits in self._passes(sequences, [0] * len(sequences)):
                values = logits.float().cpu().numpy()
                found.extend(values[row - rows.start, : len(sequences[row])] for row in rows)
            return found

    def decoder(self, *, rows: int, length: int) -> Decoder:
        """See `LanguageModel`; rows advance one by one."""
        return RowDecoder(self._model, rows=rows, remembers=self._remembers)

    def _passes(
        self, sequences: Sequence[Sequence[int]], needed_from: Sequence[int]
    ) -> Iterator[tuple[range, int, torch.Tensor]]:
        """Forward passes: the rows, the first place whose logits were kept, the logits (rows, places, vocabulary)."""
        start = 0
        while start < len(sequences):
            stop, length, first = start, 0, 0
            while stop < len(sequences):
                longer = max(length, len(sequences[stop]))
                earlier = needed_from[stop] if stop == start else min(first, needed_from[stop])
                if stop > start and (self.rows_alone or self._size(stop + 1 - start, longer, earlier) > LOGITS):
                    break
                stop, length, first = stop + 1, longer, earlier
            batch = PaddedBatch.of(sequences[start:stop], pad_id=0, pad_left=False)
            keep = {"logits_to_keep": length - first} if self._keeps_logits else {}
            logits = self._model(
                input_ids=torch.from_numpy(batch.ids).to(self._device),
                attention_mask=torch.from_numpy(batch.mask).to(self._device),
                use_cache=False,
                **keep,
            ).logits
            yield range(start, stop), first if keep else 0, logits
            start = stop

    def _size(self, rows: int, length: int, first: int) -> int:
        return rows * (length - first if self._keeps_logits else length) * self.vocabulary_size


@dataclass(eq=False)
class _Row:
    tokens: list[int]
    caches: dict[str, object] = field(default_factory=dict)


class RowDecoder:
    """A decoder that advances row by row; see `slmcheck.backends.Decoder`."""

    def __init__(self, model: PreTrainedModel, *, rows: int, remembers: bool) -> None:
        self._model, self._capacity, self._remembers = model, rows, remembers
        self._rows: list[_Row] = []

    @property
    def room(self) -> int:
        """How many prompts can be added now."""
        return self._capacity - len(self._rows)

    def add(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """See `Decoder`."""
        with torch.inference_mode():
            new = [_Row(list(prompt)) for prompt in prompts]
            self._rows.extend(new)
            return np.stack([self._next(row, row.tokens) for row in new])

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Decoder`."""
        with torch.inference_mode():
            logits = []
            for row, token in zip(self._rows, tokens.tolist(), strict=True):
                row.tokens.append(token)
                logits.append(self._next(row, [token] if row.caches else row.tokens))
            return np.stack(logits)

    def drop(self, row: int) -> None:
        """See `Decoder`."""
        last = self._rows.pop()
        if row < len(self._rows):
            self._rows[row] = last

    def _next(self, row: _Row, tokens: Sequence[int]) -> NDArray[np.float32]:
        ids = torch.tensor([tokens], device=self._model.device)
        outputs = self._model(input_ids=ids, use_cache=self._remembers, **row.caches)
        if self._remembers:
            name = next((name for name in CACHES if outputs.get(name) is not None), None)
            row.caches = {} if name is None else {name: outputs[name]}
        values: NDArray[np.float32] = outputs.logits[0, -1].float().cpu().numpy()
        return values
