"""Checkpoints of an unfinished training, and which of them can be trusted after a crash.

A checkpoint folder counts only with its file COMMITTED, written last: the SHA-256 of every other file. A folder without
it, or whose files differ, was torn by a crash and is deleted, because training resumed from half a checkpoint goes on
silently with fresh optimizer moments or other dropout.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

MARKER = "COMMITTED"
PREFIX = "checkpoint-"
FINISHED = "finished.json"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a training ended; once written, nothing is trained any more."""

    last_step: int
    best_step: int
    stopped_early: bool


def commit(folder: Path) -> None:
    """Mark a checkpoint folder as complete."""
    digests = {}
    for file in _files(folder):
        digests[file.relative_to(folder).as_posix()] = _digest(file, sync=True)
    write_durably(folder / MARKER, json.dumps(digests, indent=0, sort_keys=True))


def is_committed(folder: Path) -> bool:
    """Whether a checkpoint folder is complete and unchanged since it was committed."""
    try:
        digests = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        return bool(digests) and all(_digest(folder / name) == digest for name, digest in digests.items())
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def newest_committed(root: Path) -> Path | None:
    """The newest checkpoint that verifies; folders that do not are deleted."""
    newest = None
    for folder in checkpoint_folders(root):
        if is_committed(folder):
            newest = folder
        else:
            shutil.rmtree(folder)
    return newest


def checkpoint_folders(root: Path) -> list[Path]:
    """All checkpoint folders below `root` in order of their step."""
    if not root.is_dir():
        return []
    return sorted((path for path in root.iterdir() if path.name.startswith(PREFIX)), key=step_of)


def step_of(folder: Path) -> int:
    """The step of a checkpoint folder."""
    return int(folder.name.removeprefix(PREFIX))


def keep_only(root: Path, kept: set[Path]) -> None:
    """Delete the checkpoints that are not in `kept`; each loses its marker first."""
    for folder in checkpoint_folders(root):
        if folder not in kept:
            (folder / MARKER).unlink(missing_ok=True)
            shutil.rmtree(folder)


def write_finished(root: Path, finished: Finished) -> None:
    """Record that training ended."""
    write_durably(root / FINISHED, json.dumps(asdict(finished)))


def read_finished(root: Path) -> Finished | None:
    """How training ended, or None while it has not."""
    path = root / FINISHED
    return Finished(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def write_durably(path: Path, text: str) -> None:
    """Write a file so that after a crash it is there in full or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARKER)


def _digest(file: Path, *, sync: bool = False) -> str:
    with file.open("rb") as stream:
        if sync:
            os.fsync(stream.fileno())
        return hashlib.file_digest(stream, "sha256").hexdigest()
