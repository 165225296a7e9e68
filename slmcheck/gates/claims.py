"""What is claimed, before anything is known of whether it is true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slmcheck.gates.evidence import Measurement

Operator = Literal[">=", ">", "<=", "<"]
MIRRORED: dict[Operator, Operator] = {">=": "<=", ">": "<", "<=": ">=", "<": ">"}


@dataclass(frozen=True, kw_only=True, eq=False)
class LevelClaim:
    """A score on the right side of a number."""

    text: str
    new: Measurement
    threshold: float
    strict: bool = False
    confidence: float | None = None
    """Of the two-sided interval; a claim that states it must be proven under every policy."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChangeClaim:
    """A score on the right side of another score, which may be moved by a factor and an offset."""

    text: str
    new: Measurement
    old: Measurement
    factor: float = 1.0
    offset: float = 0.0
    strict: bool = False
    equivalent_within: float | None = None
    """For a claim of equivalence: how far the scores may be apart, on the scale of changes."""
    alpha: float | None = None
    """One-sided level; None takes that of the policy."""
    must_prove: bool = False
    """Whether the claim must be proven under every policy."""
