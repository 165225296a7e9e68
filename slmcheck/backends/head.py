"""From hidden states to logits and log-probabilities, for the rows that are asked only.

A leaf module: it imports torch.
"""

from __future__ import annotations

import torch
from torch.nn import functional

MINIMUM_ROWS = 16
"""Matrix products of fewer rows take other kernels, whose results differ in the last bits: fill up to this many."""
ROWS, TILE = 1024, 1024
"""Logits held at a time on a CPU: this many rows of this many vocabulary entries."""
GPU_TILE = 65536


def filling(rows: int) -> int:
    """Rows to add behind `rows`, so that what stands in them does not depend on how many there are.

    At least one: vectorised functions treat the last few elements of a tensor by other code.
    """
    return max(1, MINIMUM_ROWS - rows)


class LanguageHead:
    """A linear head: logits = cap(scale * (hidden @ weight.T + bias))."""

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None = None,
        *,
        scale: float = 1.0,
        softcap: float | None = None,
    ) -> None:
        self._weight, self._bias, self._scale, self._softcap = weight, bias, scale, softcap
        self._tile = TILE if weight.device.type == "cpu" else GPU_TILE

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of every row; shape (rows, width) -> float32 (rows, vocabulary)."""
        return self._tile_logits(_filled(hidden), 0, self._weight.shape[0])[: len(hidden)]

    def log_probabilities(self, hidden: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Log-probability of each target after its row of `hidden`; float64, shape (questions,).

        Args:
            hidden: Hidden states; shape (rows, width).
            rows: The row of each question, ascending; shape (questions,).
            targets: The token of each question; shape (questions,).
        """
        parts = []
        for start in range(0, len(hidden), ROWS):
            chunk = hidden[start : start + ROWS]
            first, last = torch.searchsorted(rows, torch.tensor([start, start + len(chunk)], device=rows.device))
            parts.append(self._chunk(_filled(chunk), rows[first:last] - start, targets[first:last]))
        return torch.cat(parts).double()

    def _chunk(self, hidden: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Log-sum-exp over tiles of the vocabulary, so that the logits of all of it never exist at once."""
        vocabulary = self._weight.shape[0]
        highest = hidden.new_full((len(hidden),), float("-inf"), dtype=torch.float32)
        total = torch.zeros_like(highest)
        asked = hidden.new_zeros((len(rows),), dtype=torch.float32)
        for start in range(0, vocabulary, self._tile):
            stop = min(start + self._tile, vocabulary)
            logits = self._tile_logits(hidden, start, stop)
            here = ((targets >= start) & (targets < stop)).nonzero()[:, 0]
            asked[here] = logits[rows[here], targets[here] - start]
            now = torch.maximum(highest, logits.amax(dim=1))
            total = total * (highest - now).exp() + logits.sub_(now[:, None]).exp_().sum(dim=1)
            highest = now
        return (asked - (highest + total.log())[rows]).clamp_(max=0.0)

    def _tile_logits(self, hidden: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        bias = None if self._bias is None else self._bias[start:stop]
        logits = functional.linear(hidden, self._weight[start:stop], bias)
        if self._scale != 1.0:
            logits = logits * self._scale
        if self._softcap is not None:
            logits = torch.tanh(logits / self._softcap) * self._softcap
        return logits.float()


def _filled(hidden: torch.Tensor) -> torch.Tensor:
    return torch.cat((hidden, hidden.new_zeros((filling(len(hidden)), hidden.shape[1]))))
