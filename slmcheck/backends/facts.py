"""What a loaded model says of itself, the same for every engine."""

from __future__ import annotations

from dataclasses import dataclass

from slmcheck.records import Environment


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Facts that a checkpoint and its tokenizer state."""

    checkpoint_key: str
    environment: Environment
    eos_ids: frozenset[int]
    context_tokens: int | None
    vocabulary_size: int
