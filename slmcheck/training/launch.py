"""Training in a process of its own: a crash, a lack of memory or a timeout is one clear error to the caller."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from slmcheck.records import DeviceClass, Example, Recipe
from slmcheck.training import jobs
from slmcheck.training.carry_out import carry_out, find_trainer
from slmcheck.training.failures import ChildEnd, disk_full_error, error_of, memory_kills
from slmcheck.training.history import FILE_NAME, HistoryFollower, TrainingProgress
from slmcheck.training.protocol import TrainingJob
from slmcheck.training.result import TrainingResult, read_result

POLL_SECONDS = 0.1
GRACE_SECONDS = 10.0
"""Between asking a training to end and ending it."""

OnProgress = Callable[[TrainingProgress], None]


def train_in_child(
    recipe: Recipe,
    train: Sequence[Example],
    validation: Sequence[Example],
    work: Path,
    *,
    base_model: str,
    device: DeviceClass = "cpu",
    prepared_base: Path | None = None,
    on_progress: OnProgress | None = None,
) -> TrainingResult:
    """Carry out a recipe in a child process; an earlier attempt in the same work folder is resumed.

    Args:
        recipe: The recipe; its `threads` and `timeout_minutes` hold for the child.
        train: Training examples, in order.
        validation: Validation examples.
        work: The work folder; afterwards `work/publish/` holds what is kept.
        base_model: Folder of the base model, or hub id with `@revision`.
        device: Where to train.
        prepared_base: The form of the base model that `prepare_in_child` made, for trainers that train from one.
        on_progress: Called with each update and evaluation as it is noticed.

    Raises:
        InputError: If recipe, data or base model cannot be used.
        NonFiniteLossError: If the loss became NaN or infinite.
        TrainingTimeoutError: If it took longer than `timeout_minutes`.
        TrainingKilledError: If it was ended by a signal, the memory limit among them.
        TrainingError: If it ended otherwise without a result.
    """
    work = work.resolve()
    publish = work / jobs.PUBLISH
    publish.mkdir(parents=True, exist_ok=True)
    if not find_trainer(recipe.trainer).trains:
        carry_out(
            TrainingJob(
                recipe=recipe,
                train=tuple(train),
                validation=tuple(validation),
                base_model=base_model,
                output_dir=publish,
                device=device,
                log_step=lambda point: None,
            )
        )
        return read_result(publish, work / jobs.OUTCOME)
    try:
        job = jobs.write_job(
            work, recipe, train, validation, base_model=base_model, device=device, prepared_base=prepared_base
        )
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise disk_full_error(recipe, work) from error
    run_child(job, recipe, device, base_model=base_model, result=work / jobs.OUTCOME, on_progress=on_progress)
    return read_result(publish, work / jobs.OUTCOME)


def run_child(
    job: Path,
    recipe: Recipe,
    device: DeviceClass,
    *,
    base_model: str,
    result: Path,
    module: str = "slmcheck.training.child",
    on_progress: OnProgress | None = None,
) -> None:
    """Carry out a job file in a child process until `result` is there.

    Raises:
        SlmcheckError: If the process ended without it, as of `train_in_child`.
    """
    work = job.parent
    publish, kills_before = work / jobs.PUBLISH, memory_kills()
    with (publish / jobs.LOG).open("ab") as log:
        log_start = log.tell()
        child = _start(job, log, recipe, device, module)
    timed_out = _wait(child, HistoryFollower(publish / FILE_NAME), on_progress, recipe.timeout_minutes * 60.0)
    if child.returncode == 0 and result.exists():
        return
    end = ChildEnd(
        recipe=recipe,
        work=work,
        base_model=base_model,
        returncode=child.returncode,
        timed_out=timed_out,
        killed_for_memory=memory_kills() > kills_before,
        log_start=log_start,
    )
    error = error_of(end)
    # A process that was killed could not say it itself; a later diagnosis reads it here.
    jobs.write_failure(work, jobs.Failure(error=type(error).__name__, message=str(error)))
    raise error


def child_environment(recipe: Recipe, device: DeviceClass) -> dict[str, str]:
    """The environment variables of a training process."""
    threads = str(recipe.threads)
    found = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
    if device == "cuda":
        # With several GPUs in sight transformers would spread each batch over them (DataParallel).
        found["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        found["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # matrix products give the same bits each time
    return found


def _start(job: Path, log: IO[bytes], recipe: Recipe, device: DeviceClass, module: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, str(job)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=child_environment(recipe, device),
        start_new_session=True,
    )


def _wait(
    child: subprocess.Popen[bytes], follower: HistoryFollower, on_progress: OnProgress | None, timeout_seconds: float
) -> bool:
    """Wait for the end; True if the time ran out. Whatever ends the waiting ends the child."""
    deadline = time.monotonic() + timeout_seconds
    try:
        while child.poll() is None:
            for point in follower.new_points() if on_progress is not None else ():
                on_progress(point)  # type: ignore[misc]
            if time.monotonic() > deadline:
                return True
            time.sleep(POLL_SECONDS)
        for point in follower.new_points() if on_progress is not None else ():
            on_progress(point)  # type: ignore[misc]
        return False
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and what it started: SIGTERM, and SIGKILL to what is left, after the grace time for the child."""
    if child.poll() is None:
        _signal(child, signal.SIGTERM)
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            _signal(child, signal.SIGKILL)
            child.wait()
    _signal(child, signal.SIGKILL)  # programs that it started and left behind
    if child.stdin is not None:
        child.stdin.close()


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended by itself in the meantime
        os.killpg(child.pid, number)
