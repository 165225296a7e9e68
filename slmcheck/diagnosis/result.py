"""A diagnosis as the store keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from slmcheck.diagnosis.calibration import confidences, reliability_of
from slmcheck.diagnosis.curves import turn_of
from slmcheck.diagnosis.detecting import diagnose
from slmcheck.diagnosis.observed import Observed
from slmcheck.diagnosis.weak_slices import slice_records
from slmcheck.records import DivergenceRecord, Finding, ReliabilityBin, ScoreRecord


@dataclass(frozen=True, kw_only=True)
class Diagnosed:
    """What a diagnosis found, with what its pictures show."""

    findings: tuple[Finding, ...]
    """Causes first, each with its consequences."""
    is_whole: bool = True
    """Whether the model was asked everything; else only what the store held was looked at."""
    divergence: DivergenceRecord | None = None
    reliability: tuple[ReliabilityBin, ...] = ()
    slices: tuple[ScoreRecord, ...] = ()
    """Every slice that was looked at."""
    notes: tuple[str, ...] = ()
    """What could not be looked at, and why."""


def diagnosed(seen: Observed, *, is_whole: bool, notes: tuple[str, ...] = ()) -> Diagnosed:
    """The diagnosis of what was observed."""
    turn = turn_of(seen.history, None if seen.rows is None else seen.rows.validation)
    sure = None
    if seen.evaluation is not None and seen.is_classification and seen.evaluation.predictions:
        sure = confidences(seen.evaluation.predictions)
    return Diagnosed(
        findings=diagnose(seen),
        is_whole=is_whole,
        divergence=None
        if turn is None
        else DivergenceRecord(step=turn.step, lowest=turn.lowest, last=turn.last, rise=turn.rise, z=turn.z),
        reliability=() if sure is None or seen.evaluation is None else reliability_of(sure, seen.evaluation.values),
        slices=slice_records(seen),
        notes=notes,
    )
