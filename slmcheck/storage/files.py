"""Files that are whole or not there: writing, syncing, hashing, and disk errors in words."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slmcheck.errors import StoreError

_CHUNK_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


def sha256_of_file(path: Path) -> str:
    """SHA-256 of the bytes of a file, 64 hex digits."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def host_name() -> str:
    """The name of this machine, without dots so that it can be part of a file name."""
    return socket.gethostname().replace(".", "-").replace("/", "-") or "unknown"


def unique_name(stem: str) -> str:
    """`<stem>.<host>.<pid>.<random>`: a name that nobody else chooses and that says who chose it."""
    return f"{stem}.{host_name()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"


def owner_of(name: str) -> tuple[str, int] | None:
    """Host and process id in a name made by `unique_name`; None for another name."""
    parts = name.rsplit(".", 3)
    if len(parts) != 4 or not parts[2].isdecimal():
        return None
    return parts[1], int(parts[2])


def sync_file(path: Path) -> None:
    """Make the content of a file outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make the names in a folder outlive a power cut, where the file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Some network file systems cannot sync a folder; the files in it are synced all the same.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file and sync it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, content: bytes, *, scratch: Path) -> None:
    """Put a file in place in one step: readers see the old content or the new, never a part.

    Args:
        path: Where the file shall be; its folder exists.
        content: All its bytes.
        scratch: A folder on the same file system for the unfinished file.
    """
    unfinished = scratch / unique_name(path.name[:40])
    try:
        write_synced(unfinished, content)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder, sorted; links to files among them."""
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def size_below(folder: Path) -> int:
    """Bytes of all files below a folder; a file that vanishes meanwhile counts as nothing."""
    total = 0
    for path in files_below(folder):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def remove_tree(folder: Path) -> None:
    """Delete a folder that may be half gone already, because somebody else deletes it too."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def disk_errors(root: Path, action: str) -> Iterator[None]:
    """Say in words what the operating system refuses.

    Args:
        root: The store.
        action: What was being done, as in `publishing runs/3fa2...`.

    Raises:
        StoreError: For every `OSError` inside.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(_explanation(error, root, action)) from error


def _explanation(error: OSError, root: Path, action: str) -> str:
    where = f"{action} in {root}"
    if error.errno in _FULL:
        return (
            f"The disk is full.\nIt happened while {where}; nothing half written was left there.\n"
            "Room is needed for the weights of one run at least.\n"
            "Free space (slmcheck cache gc --max-size 5G), or set SLMCHECK_STORE to a larger disk."
        )
    if error.errno in _READ_ONLY:
        return (
            f"The store cannot be written: {error.strerror}.\nIt happened while {where}.\n"
            "A folder that this user may write is needed.\n"
            f"Change its permissions (chmod -R u+w '{root}'), or set SLMCHECK_STORE to another folder."
        )
    return f"The store failed: {error.strerror or error}.\nIt happened while {where}.\nTry: slmcheck cache verify"
