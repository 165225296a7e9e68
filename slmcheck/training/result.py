"""What a training gives back to whoever asked for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slmcheck.records import (
    Checkpoint,
    Environment,
    Finding,
    HistoryPoint,
    Json,
    Resources,
    UsagePoint,
    from_json,
    to_json,
)
from slmcheck.training import history
from slmcheck.training.committed import write_durably


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """A finished training; its files lie in `directory`."""

    directory: Path
    """Holds adapter/ or model/, history.jsonl, rows.npz, train.log and env.json."""
    checkpoint: Checkpoint
    environment: Environment
    history: tuple[HistoryPoint, ...] = ()
    best_step: int | None = None
    """The step whose weights are the checkpoint."""
    last_step: int | None = None
    stopped_early: bool = False
    resources: Resources = field(default_factory=Resources)
    usage: tuple[UsagePoint, ...] = ()
    engine: str = ""
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What the checks of the model before the first update found."""
    resumed_from: int | None = None
    """The step at which the last attempt went on."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the training process says at its end, beside what the history holds."""

    checkpoint: Checkpoint
    environment: Environment
    resumed_from: int | None = None


def write_outcome(path: Path, outcome: Outcome) -> None:
    """Write an outcome; it is there in full or not at all."""
    write_durably(path, json.dumps(to_json(outcome)))


def read_result(directory: Path, outcome_path: Path) -> TrainingResult:
    """The result of a finished training from its files.

    Raises:
        StoreError: If the outcome was written by another version.
    """
    outcome = from_json(Outcome, json.loads(outcome_path.read_text(encoding="utf-8")))
    events = list(history.read_events(directory / history.FILE_NAME))
    last = {str(event["kind"]): event for event in events}
    start, end = last.get("start", {}), last.get("end", {})
    return TrainingResult(
        directory=directory,
        checkpoint=outcome.checkpoint,
        environment=outcome.environment,
        history=history.points_of(events),
        best_step=_whole(end, "best_step"),
        last_step=_whole(end, "last_step"),
        stopped_early=bool(end.get("stopped_early", False)),
        resources=_resources(start, last.get("resources", {})),
        usage=usage_of(events),
        engine=str(start.get("engine", "")),
        notes=(*(str(event["text"]) for event in events if event["kind"] == "note"), *_selection_notes(events, end)),
        findings=tuple(from_json(Finding, event["finding"]) for event in events if event["kind"] == "finding"),
        resumed_from=outcome.resumed_from,
    )


def _selection_notes(events: Sequence[Mapping[str, Json]], end: Mapping[str, Json]) -> list[str]:
    """What a reader must know of the checkpoint that was selected."""
    losses = {point.step: point.validation_loss for point in history.points_of(events)}
    base, best = losses.get(0), losses.get(_whole(end, "best_step") or 0)
    if base is None or best is None or best < base:
        return []
    return [f"Training made it worse: the base model has a validation loss of {base:.4g}, the best step {best:.4g}."]


def _resources(start: Mapping[str, Json], spent: Mapping[str, Json]) -> Resources:
    return Resources(
        seconds=_number(spent, "seconds"),
        cpu_seconds=_number(spent, "cpu_seconds"),
        waited_seconds=_number(spent, "waited_seconds"),
        tokens=_whole(spent, "tokens"),
        tokens_per_second=_number(spent, "tokens_per_second"),
        peak_memory_bytes=_whole(spent, "peak_memory_bytes"),
        peak_gpu_memory_bytes=_whole(spent, "peak_gpu_memory_bytes") or None,
        trained_parameters=_whole(start, "trained_parameters"),
        total_parameters=_whole(start, "total_parameters"),
    )


def usage_of(events: Sequence[Mapping[str, Json]]) -> tuple[UsagePoint, ...]:
    """What a training took from one note of its resources to the next."""
    found, before = list[UsagePoint](), (0.0, 0.0, 0)
    for event in events:
        if event["kind"] != "resources":
            continue
        now = (_number(event, "seconds") or 0.0, _number(event, "cpu_seconds") or 0.0, _whole(event, "tokens") or 0)
        passed = now[0] - before[0]
        if passed <= 0.0:
            continue
        found.append(
            UsagePoint(
                step=_whole(event, "step") or 0,
                seconds=now[0],
                tokens_per_second=(now[2] - before[2]) / passed,
                cpu_cores=(now[1] - before[1]) / passed,
                resident_bytes=_whole(event, "resident_bytes"),
                gpu_utilisation=_number(event, "gpu_utilisation"),
                gpu_bytes=_whole(event, "gpu_bytes"),
            )
        )
        before = now
    return tuple(found)


def _number(event: Mapping[str, Json], name: str) -> float | None:
    value = event.get(name)
    return float(value) if isinstance(value, int | float) else None


def _whole(event: Mapping[str, Json], name: str) -> int | None:
    value = event.get(name)
    return value if isinstance(value, int) else None
