"""How much of a change another training seed would make, and how well that is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from slmcheck.gates.evidence import Measurement
from slmcheck.statistics import NO_SEED_TERM, SeedVariance

LEAST_SEEDS = 3
WELL_KNOWN = 6
"""From this many seeds the sd counts as known: a t quantile would cost 9 to 15 points of detection."""


@dataclass(frozen=True, kw_only=True)
class SeedTerm:
    """The seed term of one comparison.

    `measured` was pooled over stored seeds, `assumed` is the metric's declared value, `unknown` means that the
    trainings differ but nobody knows the sd, `same` that one training stands behind both scores.
    """

    knowledge: Literal["measured", "assumed", "unknown", "same"]
    variance: SeedVariance = NO_SEED_TERM
    sd: float | None = None
    new_seeds: int = 1
    old_seeds: int = 1


def seed_term(new: Measurement, old: Measurement, declared: float | None) -> SeedTerm:
    """The seed term of a comparison; a side that no training of ours made adds none.

    Args:
        new: The score a claim is made of.
        old: The score it is compared with.
        declared: Standard deviation between seeds, in place of the metric's own.
    """
    counts = (new.source.seeds, old.source.seeds)
    if new.source.run_key == old.source.run_key and counts[0] == counts[1]:
        return SeedTerm(knowledge="same", new_seeds=counts[0], old_seeds=counts[1])
    trained = [side.source for side in (new, old) if side.source.run_key is not None]
    share = sum(1.0 / source.seeds for source in trained)
    pooled = _pooled([(source.seeds, source.seed_sd) for source in trained])
    if pooled is not None:
        sd, degrees = pooled
        variance = SeedVariance(variance=sd * sd * share, degrees_of_freedom=degrees)
        return SeedTerm(knowledge="measured", variance=variance, sd=sd, new_seeds=counts[0], old_seeds=counts[1])
    sd_assumed = declared if declared is not None else new.metric.seed_sd
    if sd_assumed is None:
        return SeedTerm(knowledge="unknown", new_seeds=counts[0], old_seeds=counts[1])
    return SeedTerm(
        knowledge="assumed",
        variance=SeedVariance(variance=sd_assumed**2 * share),
        sd=sd_assumed,
        new_seeds=counts[0],
        old_seeds=counts[1],
    )


def _pooled(estimates: list[tuple[int, float | None]]) -> tuple[float, float] | None:
    """Standard deviation pooled over what was measured, with its degrees of freedom."""
    known = [(max(count, LEAST_SEEDS) - 1, sd) for count, sd in estimates if sd is not None]
    if not known:
        return None
    degrees = sum(freedom for freedom, _ in known)
    sd = math.sqrt(sum(freedom * sd * sd for freedom, sd in known) / degrees)
    return sd, math.inf if degrees + len(known) >= WELL_KNOWN else float(degrees)
