"""What a diagnosis keeps beside its findings, for tables and pictures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Answers of about one confidence, and how many of them were right."""

    confidence: float
    """Mean probability of the chosen options."""
    accuracy: float
    """Share of right answers."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of its 95 % interval."""
    n: int
    """Answers in the bin."""


@dataclass(frozen=True, kw_only=True)
class DivergenceRecord:
    """Where the validation loss turned."""

    step: int
    """The step of its lowest point, single blips taken out."""
    lowest: float
    """Loss there, nats a token."""
    last: float
    """Loss at the end."""
    rise: float
    """Rise from there to the end, as a share of the lowest."""
    z: float | None = None
    """Rise in standard errors, row by row; None without a record of rows."""
