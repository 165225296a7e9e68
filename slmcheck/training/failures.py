"""Why a training process ended without a result, in words."""

from __future__ import annotations

import os
import re
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from slmcheck import errors
from slmcheck.errors import (
    NonFiniteLossError,
    SlmcheckError,
    TrainingError,
    TrainingKilledError,
    TrainingTimeoutError,
)
from slmcheck.records import Recipe
from slmcheck.training import history, jobs
from slmcheck.training.committed import MARKER, checkpoint_folders, step_of
from slmcheck.training.memory import estimate_of_recipe
from slmcheck.training.protocol import CHECKPOINTS

_REFUSED = re.compile(r"DefaultCPUAllocator: can't allocate memory: you tried to allocate (\d+) bytes")
_GPU_FULL = re.compile(r"CUDA out of memory\. Tried to allocate ([\d.]+ \wiB)")
_NO_MEMORY = re.compile(r"^(MemoryError|OSError: \[Errno 12\])", re.MULTILINE)
_WRITE_FAILED = re.compile(r"failed writing file|file write failed|unexpected pos \d+ vs \d+")
"""What torch says of a disk that is full."""
_TAIL_BYTES = 20_000
_LITTLE_DISK = 16 * 2**20
_MEMORY_EVENTS = ("/sys/fs/cgroup/memory.events", "/proc/vmstat")


@dataclass(frozen=True, kw_only=True)
class ChildEnd:
    """How a training process ended."""

    recipe: Recipe
    work: Path
    base_model: str
    returncode: int
    timed_out: bool
    killed_for_memory: bool
    log_start: int = 0
    """Where in the log this attempt begins; earlier attempts stand before it."""

    @property
    def log(self) -> Path:
        """What the process wrote."""
        return self.work / jobs.PUBLISH / jobs.LOG


def error_of(end: ChildEnd) -> SlmcheckError:
    """The error that says how a training process ended and what to do."""
    if end.timed_out:
        return TrainingTimeoutError(
            f"{end.recipe.name}: training took longer than {end.recipe.timeout_minutes:g} minutes.\n"
            f"{_progress(end)}\nRaise timeout_minutes in the recipe, or train less.\n{_resume(end)}"
        )
    if end.returncode < 0:
        return _killed(end)
    failure = jobs.read_failure(end.work)
    if failure is not None:
        kind = getattr(errors, failure.error, TrainingError)
        error: SlmcheckError = kind(failure.message)
        return error
    return _crashed(end)


def disk_full_error(recipe: Recipe, work: Path, more: str = "") -> TrainingError:
    """The error of a disk without space for the work folder."""
    free = shutil.disk_usage(work).free
    return TrainingError(
        f"{recipe.name}: the disk is full; {_size(free)} are free in {work}.\n"
        f"Free space there, or move the store (SLMCHECK_STORE).\n{more}".rstrip()
    )


def non_finite_error(
    recipe: Recipe, what: str, value: float, step: int, last: tuple[int, float] | None
) -> NonFiniteLossError:
    """The error of a loss that is no number any more.

    Args:
        recipe: What is trained.
        what: Which loss, in words.
        value: NaN or an infinity.
        step: The update at which it was seen.
        last: The step and the value of the last finite loss.
    """
    before = f"Last finite loss {last[1]:.4g} at update {last[0]}" if last is not None else "No loss was finite before"
    warmup = "" if recipe.warmup_ratio or recipe.warmup_steps else ", warmup_ratio: 0.05"
    clip = "" if 0.0 < recipe.max_grad_norm <= 1.0 else ", max_grad_norm: 1.0"  # 0 does not clip
    half = ", bf16: true in place of fp16" if recipe.fp16 else ""
    return NonFiniteLossError(
        f"{recipe.name}: {what} became {value} at update {step}.\n"
        f"{before}; learning_rate {recipe.learning_rate:g}, max_grad_norm {recipe.max_grad_norm:g}.\n"
        "A loss must stay finite: nothing after this point can be used.\n"
        f"In the recipe, try learning_rate: {recipe.learning_rate / 5:.2g}{warmup}{clip}{half}."
    )


def memory_kills() -> int:
    """How many processes the kernel has ended for lack of memory so far, here or in this container."""
    for source in _MEMORY_EVENTS:
        try:
            lines = Path(source).read_text(encoding="ascii").splitlines()
        except OSError:
            continue  # no such counter on this system
        counts = [int(line.split()[1]) for line in lines if line.split()[0] == "oom_kill"]
        if counts:
            return counts[0]
    return 0


def _killed(end: ChildEnd) -> SlmcheckError:
    name = signal.Signals(-end.returncode).name
    if end.killed_for_memory:
        return TrainingKilledError(
            f"{end.recipe.name}: training was ended because memory ran out ({name}).\n"
            f"{_memory(end)} {_progress(end)}\n{_remedies(end)}\n{_resume(end)}"
        )
    return TrainingKilledError(
        f"{end.recipe.name}: training was killed by {name}.\n{_progress(end)}\nLog: {end.log}\n{_resume(end)}"
    )


def _crashed(end: ChildEnd) -> SlmcheckError:
    text = _log_tail(end)
    refused, gpu_full = _REFUSED.search(text), _GPU_FULL.search(text)
    asked = _size(int(refused[1])) if refused else gpu_full[1] if gpu_full else None
    if asked is not None or _NO_MEMORY.search(text):
        more = f", {asked} more were refused" if asked is not None else ""
        return TrainingError(
            f"{end.recipe.name}: memory ran out{more}.\n"
            f"{_memory(end)} {_progress(end)}\n{_remedies(end)}\n{_resume(end)}"
        )
    free = shutil.disk_usage(end.work).free
    if "No space left on device" in text or (free < _LITTLE_DISK and (not text or _WRITE_FAILED.search(text))):
        return disk_full_error(end.recipe, end.work, f"{_progress(end)}\n{_resume(end)}")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit status {end.returncode}, and nothing was said"
    return TrainingError(
        f"{end.recipe.name}: training failed: {last}\n{_progress(end)}\nThe whole story: {end.log}\n{_resume(end)}"
    )


def _progress(end: ChildEnd) -> str:
    points = history.read_history(end.log.parent / history.FILE_NAME)
    if not points:
        return "It ended before its first update."
    return f"Last update: {points[-1].step}."


def _resume(end: ChildEnd) -> str:
    steps = [step_of(folder) for folder in checkpoint_folders(end.work / CHECKPOINTS) if (folder / MARKER).exists()]
    if not steps:
        return "Run the same command again to start anew."
    return f"Run the same command again to go on from update {max(steps)}."


def _memory(end: ChildEnd) -> str:
    events = history.read_events(end.log.parent / history.FILE_NAME)
    peaks = [int(str(event["peak_memory_bytes"])) for event in events if event["kind"] == "resources"]
    peak = f"Peak seen {_size(max(peaks))}" if peaks else "Peak not seen"
    estimate = estimate_of_recipe(end.recipe, end.base_model)
    return f"{peak}, estimated {_size(estimate.total_bytes)}." if estimate is not None else f"{peak}."


def _remedies(end: ChildEnd) -> str:
    recipe, remedies = end.recipe, []
    if not recipe.gradient_checkpointing:
        remedies.append("gradient_checkpointing: true")
    if recipe.per_device_train_batch_size > 1:
        whole = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
        remedies.append(f"per_device_train_batch_size: 1 with gradient_accumulation_steps: {whole}")
    if recipe.trainer == "full":
        remedies.append("trainer: lora")
    remedies.append(f"data.max_length below {recipe.data.max_length}")
    return f"In the recipe, try in this order: {'; '.join(remedies)}."


def _log_tail(end: ChildEnd) -> str:
    with end.log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(end.log_start, file.tell() - _TAIL_BYTES))
        return file.read().decode("utf-8", errors="replace")


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.0f} MiB"
