"""What another training left beside a model: `trainer_state.json` and `adapter_config.json`, never its pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slmcheck.records import HistoryPoint, Json
from slmcheck.training.history import FILE_NAME, HistoryWriter

STATE = "trainer_state.json"
ADAPTER_CONFIG = "adapter_config.json"
CHECKPOINT_PREFIX = "checkpoint-"
_SHOWN_STATE = ("num_train_epochs", "train_batch_size", "max_steps")
_SHOWN_ADAPTER = ("peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "target_modules")


@dataclass(frozen=True, kw_only=True)
class TrainingTrace:
    """What is known of a training that happened elsewhere."""

    points: tuple[HistoryPoint, ...] = ()
    total_steps: int | None = None
    last_step: int | None = None
    best_step: int | None = None
    """The step whose weights the folder holds."""
    stopped_early: bool = False
    notes: tuple[str, ...] = ()


def read_trace(folder: Path) -> TrainingTrace:
    """The trace beside a model: in its folder, the folder above, or the newest checkpoint folder inside it."""
    notes = _adapter_notes(folder)
    file = _state_file(folder)
    if file is None:
        return TrainingTrace(notes=notes)
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        return _trace(state, folder, notes)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return TrainingTrace(notes=(*notes, f"{file} cannot be read, so there is no history: {error}."))


def write_trace(output_dir: Path, trace: TrainingTrace, *, engine: str, keep_until: int | None = None) -> None:
    """Write a trace as the history of a run.

    Args:
        output_dir: Where the run's files are.
        trace: What is known.
        engine: What trained, in words.
        keep_until: As in `HistoryWriter`.
    """
    history = HistoryWriter(output_dir / FILE_NAME, keep_until=keep_until)
    history.write("start", {"engine": engine, "total_steps": trace.total_steps})
    for note in trace.notes:
        history.write("note", {"text": note})
    for point in trace.points:
        history.write_point("eval" if point.train_loss is None else "step", point)
    history.write(
        "end", {"last_step": trace.last_step, "best_step": trace.best_step, "stopped_early": trace.stopped_early}
    )
    history.close()


def _trace(state: Mapping[str, Json], folder: Path, notes: tuple[str, ...]) -> TrainingTrace:
    log = state.get("log_history") or []
    assert isinstance(log, Sequence)
    points = [point for entry in log if isinstance(entry, Mapping) and (point := _point(entry)) is not None]
    last, total = _whole(state.get("global_step")), _whole(state.get("max_steps"))
    best = _whole(state.get("best_global_step")) or _step_of(str(state.get("best_model_checkpoint") or ""))
    own = _step_of(folder.name)
    settings = ", ".join(f"{name} {state[name]}" for name in _SHOWN_STATE if state.get(name) is not None)
    return TrainingTrace(
        points=tuple(points),
        total_steps=total,
        last_step=last,
        best_step=own or best or last,
        stopped_early=last is not None and total is not None and last < total,
        notes=(*notes, f"Trained elsewhere with {settings}.") if settings else notes,
    )


def _point(entry: Mapping[str, Json]) -> HistoryPoint | None:
    step = _whole(entry.get("step"))
    train, validation = _number(entry.get("loss")), _number(entry.get("eval_loss"))
    if step is None or (train is None and validation is None):
        return None
    return HistoryPoint(
        step=step,
        epoch=_number(entry.get("epoch")) or 0.0,
        train_loss=train,
        validation_loss=validation,
        learning_rate=_number(entry.get("learning_rate")),
        gradient_norm=_number(entry.get("grad_norm")),
    )


def _state_file(folder: Path) -> Path | None:
    inner = sorted(folder.glob(f"{CHECKPOINT_PREFIX}*/{STATE}"), key=lambda path: _step_of(path.parent.name) or 0)
    candidates = [folder / STATE, *reversed(inner), folder.parent / STATE]
    return next((path for path in candidates if path.is_file()), None)


def _adapter_notes(folder: Path) -> tuple[str, ...]:
    file = folder / ADAPTER_CONFIG
    if not file.is_file():
        return ()
    config = json.loads(file.read_text(encoding="utf-8"))
    given = [name for name in _SHOWN_ADAPTER if config.get(name) is not None and config[name] is not False]
    shown = ", ".join(f"{name} {_text(config[name])}" for name in given)
    return (f"Adapter trained elsewhere: {shown}.",)


def _text(value: Json) -> str:
    return " ".join(sorted(map(str, value))) if isinstance(value, list) else str(value)


def _step_of(name: str) -> int | None:
    tail = name.rstrip("/").rpartition("/")[2].removeprefix(CHECKPOINT_PREFIX)
    return int(tail) if tail.isdigit() else None


def _whole(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
