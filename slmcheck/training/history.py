"""The history of a training on disk: one JSON object a line, flushed as it happens.

    {"kind": "start", "total_steps": 200, "steps_per_epoch": 23, ...}
    {"kind": "step", "step": 1, "epoch": 0.04, "train_loss": 4.1, "learning_rate": 0.0003, "gradient_norm": 2.2, ...}
    {"kind": "eval", "step": 0, "validation_loss": 4.3, "train_subset_loss": 4.4, ...}
    {"kind": "resources", "seconds": 2.0, "resident_bytes": 612000000, ...}
    {"kind": "end", "last_step": 200, "best_step": 180, "stopped_early": false}

Losses are in nats per supervised token. Step 0 is the base model. A training that is resumed first cuts the file back
to the step at which it starts again, so that no step stands twice.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from slmcheck.records import HistoryPoint, Json, to_json

FILE_NAME = "history.jsonl"


@dataclass(frozen=True, kw_only=True)
class TrainingProgress(HistoryPoint):
    """A moment of a training under way, and how far it is."""

    total_steps: int | None = None

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the pace so far; None before the first update."""
        if not self.total_steps or not self.step or self.seconds is None:
            return None
        return self.seconds / self.step * (self.total_steps - self.step)


class HistoryWriter:
    """Appends events to a history file."""

    def __init__(self, path: Path, *, keep_until: int | None) -> None:
        """Open the file.

        Args:
            path: The history file; its folder exists.
            keep_until: The step at which a training is resumed: events after it are dropped. None starts a new file.
        """
        kept = [] if keep_until is None else _events_until(path, keep_until)
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(_line(event) for event in kept), encoding="utf-8")
        os.replace(temporary, path)
        self._file: TextIO = path.open("a", encoding="utf-8")

    def write(self, kind: str, fields: Mapping[str, Json]) -> None:
        """Append one event; fields without a finite value are left out (an fp16 overflow has no gradient norm)."""
        event = {"kind": kind, **{name: value for name, value in fields.items() if _is_value(value)}}
        self._file.write(_line(event))
        self._file.flush()

    def write_point(self, kind: str, point: HistoryPoint) -> None:
        """Append a point as an event."""
        self.write(kind, to_json(point))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(path: Path) -> Iterator[Mapping[str, Json]]:
    """The events of a history file in order; a last line that was cut by a crash is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.endswith("}\n"))


def points_of(events: Iterable[Mapping[str, Json]]) -> tuple[HistoryPoint, ...]:
    """The updates and evaluations among `events` as points in order of their step, one a step."""
    names = set(HistoryPoint.__dataclass_fields__)
    by_step: dict[int, dict[str, Json]] = {}
    for event in events:
        if event["kind"] in ("step", "eval"):
            known = {name: value for name, value in event.items() if name in names}
            by_step.setdefault(int(str(event["step"])), {}).update(known)
    return tuple(HistoryPoint(**fields) for _, fields in sorted(by_step.items()))  # type: ignore[arg-type]


def read_history(path: Path) -> tuple[HistoryPoint, ...]:
    """The points of a history file."""
    return points_of(read_events(path))


class HistoryFollower:
    """Reads what was added to the history file of a training under way."""

    def __init__(self, path: Path) -> None:
        """Follow `path`, which need not exist yet."""
        self._path, self._offset, self._total = path, 0, None
        self._identity: tuple[int, int] | None = None

    def new_points(self) -> Iterator[TrainingProgress]:
        """The updates and evaluations since the last call."""
        for event in self._new_events():
            if event["kind"] == "start":
                self._total = event.get("total_steps")  # type: ignore[assignment]
            if event["kind"] in ("step", "eval"):
                fields = {name: value for name, value in event.items() if name != "kind"}
                yield TrainingProgress(total_steps=self._total, **fields)  # type: ignore[arg-type]

    def _new_events(self) -> Iterator[Mapping[str, Json]]:
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                identity = (status.st_dev, status.st_ino)
                if identity != self._identity or status.st_size < self._offset:
                    self._identity, self._offset = identity, 0  # a new file took the place: a training was resumed
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            return
        whole = added[: added.rfind(b"\n") + 1]
        self._offset += len(whole)
        yield from (json.loads(line) for line in whole.splitlines())


def _events_until(path: Path, step: int) -> list[Mapping[str, Json]]:
    kept = []
    for event in read_events(path):
        if event["kind"] == "end" or event.get("after"):
            continue  # written again at the end
        if int(str(event.get("step", 0))) <= step:
            kept.append(event)
    return kept


def _is_value(value: Json) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _line(event: Mapping[str, Json]) -> str:
    return json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n"
