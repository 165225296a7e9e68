"""Tokenised rows, and the batches made of them.

A leaf module: it imports torch and transformers at its top and is itself imported only by the loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from slmcheck.records import Json
from slmcheck.training.token_rows import IGNORED, TokenRow

Feature = Mapping[str, Json]
Batch = dict[str, torch.Tensor]
"""What transformers takes; `max_length_q` and `max_length_k` are whole numbers."""


def feature_of(row: TokenRow) -> Feature:
    """A row as the collators take it."""
    return {"input_ids": row.ids, "labels": row.labels, "example": row.example, "weight": row.weight}


class TokenRows(Dataset[Feature]):  # type: ignore[misc]
    """Rows as the data loader takes them."""

    def __init__(self, rows: Sequence[TokenRow]) -> None:
        """Wrap `rows`."""
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Feature:
        return feature_of(self._rows[index])


class ByLength(Sampler[int]):  # type: ignore[misc]
    """Rows in random order, those of like length together; the order of an epoch depends on seed and epoch only.

    transformers' own sampler draws from the global generator, so that a training that is resumed in a later epoch would
    go on with another order.
    """

    def __init__(self, rows: TokenRows, *, batch_size: int, seed: int) -> None:
        """Order `rows` for batches of `batch_size`."""
        self._lengths = [len(rows[index]["input_ids"]) for index in range(len(rows))]  # type: ignore[arg-type]
        self._batch_size, self._seed, self._epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        return iter(get_length_grouped_indices(self._lengths, self._batch_size, generator=generator))


@dataclass(frozen=True)
class FlatCollator:
    """Rows behind each other in one long row, each with positions from 0 (transformers' padding-free format)."""

    def __call__(self, features: Sequence[Feature]) -> Batch:
        """One flat batch: ids, labels and positions (1, tokens); `row` (tokens,) counts the rows of the batch."""
        ids = [torch.tensor(feature["input_ids"]) for feature in features]
        lengths = torch.tensor([len(row) for row in ids])
        ends = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
        longest = int(lengths.max())
        return {
            "input_ids": torch.cat(ids)[None],
            "labels": torch.cat([torch.tensor(feature["labels"]) for feature in features])[None],
            "position_ids": torch.cat([torch.arange(int(length)) for length in lengths])[None],
            "cu_seq_lens_q": ends,
            "cu_seq_lens_k": ends,
            "max_length_q": longest,
            "max_length_k": longest,
            **_about_rows(features, torch.arange(len(ids)).repeat_interleave(lengths)[None]),
        }


@dataclass(frozen=True)
class FlatPositionsCollator(FlatCollator):
    """As `FlatCollator`, rows told apart by their positions alone."""

    def __call__(self, features: Sequence[Feature]) -> Batch:
        """One flat batch without the keywords of flash attention."""
        batch = super().__call__(features)
        for name in ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"):
            del batch[name]
        return batch


@dataclass(frozen=True)
class PaddedCollator:
    """Rows below each other, padded on the right to the longest."""

    pad_id: int

    def __call__(self, features: Sequence[Feature]) -> Batch:
        """One padded batch: ids, labels and attention mask (rows, tokens)."""
        length = max(len(feature["input_ids"]) for feature in features)  # type: ignore[arg-type]
        shape = (len(features), length)
        ids, labels = torch.full(shape, self.pad_id), torch.full(shape, IGNORED)
        mask = torch.zeros(shape, dtype=torch.int64)
        for row, feature in enumerate(features):
            tokens = torch.tensor(feature["input_ids"])
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
            labels[row, : len(tokens)] = torch.tensor(feature["labels"])
        rows = torch.arange(len(features))[:, None].expand(shape)
        return {"input_ids": ids, "labels": labels, "attention_mask": mask, **_about_rows(features, rows)}


def _about_rows(features: Sequence[Feature], rows: torch.Tensor) -> Batch:
    return {
        "row": rows,
        "example": torch.tensor([feature["example"] for feature in features]),
        "weight": torch.tensor([feature["weight"] for feature in features], dtype=torch.float32),
    }


def length_sorted_batches(rows: Sequence[TokenRow], *, max_tokens: int, padded: bool) -> list[list[Feature]]:
    """All rows, longest first, in batches of at most `max_tokens` tokens, padding included (a longer row alone)."""
    batches: list[list[Feature]] = []
    used = longest = 0
    for row in sorted(rows, key=lambda row: -len(row.ids)):
        length = longest if padded else len(row.ids)
        if not batches or used + length > max_tokens:
            batches.append([])
            used, longest = 0, len(row.ids)
            length = len(row.ids)
        batches[-1].append(feature_of(row))
        used += length
    return batches
