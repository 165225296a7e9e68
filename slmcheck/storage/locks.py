"""Locks and slots that save double work.

They are kernel locks: the kernel releases them when a process dies, however it dies. On file systems where they do
nothing (some NFS and Lustre mounts) work is done twice and nothing else happens, because no result depends on them.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from slmcheck.errors import StoreError
from slmcheck.storage.files import host_name

_SAY_AFTER_SECONDS = 2.0
_POLL_SECONDS = 0.1
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def hold(
    folder: Path,
    name: str,
    *,
    timeout_seconds: float | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the lock `<folder>/<name>.lock`; not re-entrant, also not within one thread.

    Args:
        folder: The locks of the store; made when missing. Lock files are never deleted.
        name: Letters, digits, `_`, `-`, `@`.
        timeout_seconds: How long to wait; None waits until the holder ends.
        on_wait: Told once who holds the lock, when that takes longer than two seconds.

    Raises:
        StoreError: If the lock is not free in time.
    """
    lock = _take_first([folder / f"{name}.lock"], name, timeout_seconds=timeout_seconds, on_wait=on_wait)
    try:
        yield
    finally:
        _release(lock)


@contextmanager
def hold_any(
    folder: Path,
    names: list[str],
    *,
    timeout_seconds: float | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """Hold whichever of several locks is free first; gives its name.

    Raises:
        StoreError: If none is free in time.
    """
    paths = [folder / f"{name}.lock" for name in names]
    lock = _take_first(paths, names[0], timeout_seconds=timeout_seconds, on_wait=on_wait)
    try:
        yield Path(lock.lock_file).stem if lock is not None else names[0]
    finally:
        _release(lock)


@contextmanager
def try_hold(folder: Path, name: str) -> Iterator[bool]:
    """Hold a lock if nobody else does; gives whether it was free."""
    try:
        lock = _take(folder / f"{name}.lock")
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        _release(lock)


def holder_of(path: Path) -> str:
    """Who holds a lock, in words."""
    try:
        holder = json.loads(_holder_file(path).read_bytes())
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _take_first(
    paths: list[Path], name: str, *, timeout_seconds: float | None, on_wait: Callable[[str], None] | None
) -> filelock.BaseFileLock | None:
    started, said = time.monotonic(), False
    while True:
        for path in paths:
            with suppress(filelock.Timeout):
                return _take(path)
        waited = time.monotonic() - started
        if timeout_seconds is not None and waited >= timeout_seconds:
            raise StoreError(
                f"The lock '{name}' was not free after {timeout_seconds:g} seconds.\n"
                f"It is held by {holder_of(paths[0])}: {paths[0]}\n"
                "Wait for that process or end it; the lock goes with it."
            )
        if on_wait is not None and not said and waited >= _SAY_AFTER_SECONDS:
            on_wait(f"waiting for {holder_of(paths[0])}")
            said = True
        time.sleep(_POLL_SECONDS)


def _take(path: Path) -> filelock.BaseFileLock | None:
    """The lock, taken; None where locks do not work. Raises `filelock.Timeout` when another process holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path, timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise
    except NotImplementedError:
        return None
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise StoreError(f"The lock {path} cannot be taken: {error.strerror or error}.") from error
    holder = {"pid": os.getpid(), "host": host_name(), "since": time.strftime("%H:%M:%S")}
    # Only for the message of those who wait; a lock without it is as good.
    with suppress(OSError):
        _holder_file(path).write_text(json.dumps(holder))
    return lock


def _release(lock: filelock.BaseFileLock | None) -> None:
    if lock is not None:
        with suppress(OSError):
            _holder_file(Path(lock.lock_file)).unlink()
        lock.release()


def _holder_file(path: Path) -> Path:
    # Beside the lock: some versions of filelock truncate the lock file itself whenever somebody tries it.
    return path.with_suffix(".holder")


def slot_names(device: str, threads: int) -> list[str]:
    """The slots of this machine that a piece of work may take.

    Args:
        device: `cpu`, `cuda`, `cuda:1`, `mps`.
        threads: Threads that the work uses on a CPU.
    """
    host = host_name()
    if device == "cpu":
        count = max(1, available_cores() // max(1, threads))
        return [f"cpu-{number}@{host}" for number in range(count)]
    kind, _, number = device.partition(":")
    name = "gpu" if kind == "cuda" else kind
    return [f"{name}-{number or 0}@{host}"]


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
