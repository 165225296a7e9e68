"""The learning curves that the store holds of a run, and what they say."""

from __future__ import annotations

from slmcheck.metrics import METRICS
from slmcheck.records import (
    CurvePoint,
    EvidenceNumber,
    Finding,
    Json,
    LearningCurveRecord,
    Recipe,
    Task,
    from_json,
    to_json,
)
from slmcheck.storage import digest
from slmcheck.workspace import Workspace


def keep_learning_curve(run_key: str, record: LearningCurveRecord, workspace: Workspace) -> None:
    """Store a whole learning curve of a run."""
    # The run in the inputs lets the curve travel with it.
    workspace.store.write_findings(_key(run_key, record.metric), to_json(record), {"run": run_key})


def learning_curve_of(run_key: str, task: Task, workspace: Workspace) -> LearningCurveRecord | None:
    """The learning curve of a run that the store holds, in the first metric of the task that has one."""
    for metric in METRICS[task]:
        stored = workspace.store.read_findings(_key(run_key, metric))
        if stored is not None:
            return from_json(LearningCurveRecord, stored)
    return None


def finding_of(record: LearningCurveRecord, recipe: Recipe) -> Finding:
    """A learning curve as a finding: what limits the score, with the scores that say so."""
    numbers = [
        EvidenceNumber(
            name=f"{record.metric} on {point.rows:,} rows", value=point.value, low=point.low, high=point.high,
            unit=record.unit,
        )
        for point in record.points
    ]  # fmt: skip
    patch: dict[str, Json] = {}
    rank = recipe.options.get("r")
    if record.verdict == "capacity-limited" and isinstance(rank, int):
        patch = {"options.r": 2 * rank}
    remedies = {
        "more-data-helps": "Add training rows.",
        "capacity-limited": "Double options.r, or take a larger base model.",
        "saturated": "Correct labels, or change the task: rows like these bring nothing more.",
        "undecided": "Evaluate on more rows, or repeat the recipe (seeds: 3).",
    }
    next_step = f"slmcheck diagnose {recipe.name} --try" if patch else ""
    return Finding(
        cause="learning-curve-undecided" if record.verdict == "undecided" else record.verdict,
        severity="note",
        summary=record.summary,
        evidence=(*(_sentence(point, record) for point in record.points), *record.notes),
        numbers=tuple(numbers),
        remedy=remedies[record.verdict],
        recipe_patch=patch,
        next_experiment=next_step,
    )


def _sentence(point: CurvePoint, record: LearningCurveRecord) -> str:
    scale, mark = (100.0, " %") if record.unit == "share" else (1.0, "")
    bounds = ""
    if point.low is not None and point.high is not None:
        bounds = f" ({scale * point.low:.3g} .. {scale * point.high:.3g})"
    return f"{record.metric} on {point.rows:,} rows: {scale * point.value:.3g}{mark}{bounds}."


def _key(run_key: str, metric: str) -> str:
    return digest("learning-curve", {"run": run_key, "metric": metric, "version": 1})
