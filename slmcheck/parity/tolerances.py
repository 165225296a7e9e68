"""How far an export may be off at each precision before it is no longer rounding.

Only the fp32 tolerances prove an export right: the smallest planted fault moves logits by 1.5e-4 of their spread, right
exports by 2.4e-5 at most. The others say what their precision costs on models of a few hundred thousand to a hundred
million parameters; a release decides by its own thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from slmcheck.errors import UnknownMetricError
from slmcheck.gates import ScoreSource
from slmcheck.parity.comparing import ParityRows
from slmcheck.parity.scores import score


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Limits of one precision; None has no limit that holds for every model."""

    logit_max: float | None = None
    """In standard deviations of the reference's logits."""
    kl: float | None = None
    """In nats a token."""
    top1: float | None = None
    """Least share of tokens. Of no use where `logit_max` is within rounding: a flip then is a tie."""
    perplexity_change: float | None = None
    """Of the ratio from 1, in either direction where `logit_max` is limited, else upwards."""
    agreement: float | None = None
    """Least share of equal answers."""


TOLERANCES: Mapping[str, Tolerance] = {
    "fp32": Tolerance(logit_max=1e-4, kl=1e-9, perplexity_change=1e-5, agreement=1.0),
    "fp16": Tolerance(logit_max=0.1, kl=1e-4, top1=0.99, perplexity_change=1e-3, agreement=0.995),
    "int8": Tolerance(kl=0.005, top1=0.95, perplexity_change=0.01, agreement=0.99),
    "int8-dynamic": Tolerance(kl=0.05, top1=0.90, perplexity_change=0.03, agreement=0.98),
    "int4": Tolerance(agreement=0.98),
}


@dataclass(frozen=True)
class Breach:
    """A score beyond its limit."""

    score: str
    value: float
    limit: float


def breaches(rows: ParityRows, precision: str, *, agreement: float | None = None) -> tuple[Breach, ...]:
    """The scores of a comparison that are beyond the default tolerances of a precision.

    Args:
        rows: The comparison.
        precision: Of the export.
        agreement: Share of equal final answers, where there are answers.

    Raises:
        UnknownMetricError: If there are no tolerances for the precision.
    """
    if precision not in TOLERANCES:
        raise UnknownMetricError(
            f"There are no default tolerances for precision '{precision}'.\nThere are: {', '.join(TOLERANCES)}."
        )
    limits, source = TOLERANCES[precision], ScoreSource(name=precision)
    found = []
    for name, limit in (("logit_max", limits.logit_max), ("kl", limits.kl)):
        if limit is not None and (value := float(score(name, rows, source))) > limit:
            found.append(Breach(name, value, limit))
    if limits.top1 is not None and (value := float(score("top1", rows, source))) < limits.top1:
        found.append(Breach("top1", value, limits.top1))
    if limits.perplexity_change is not None and rows.column("scored").any():
        ratio = float(score("perplexity_ratio", rows, source))
        change = abs(math.log(ratio)) if limits.logit_max is not None else math.log(ratio)
        if change > math.log1p(limits.perplexity_change):
            found.append(Breach("perplexity_ratio", ratio, 1 + limits.perplexity_change))
    if limits.agreement is not None and agreement is not None and agreement < limits.agreement:
        found.append(Breach("agreement", agreement, limits.agreement))
    return tuple(found)
