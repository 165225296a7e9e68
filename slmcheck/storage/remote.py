"""A place outside this machine that entries are pushed to and pulled from: a folder, or anything that fsspec opens.

Both have three operations, and both write a file so that a reader finds all of it or none. No operation may hang: one
that makes no progress within the time limit is an error.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from slmcheck.errors import InputError, MissingExtraError, RemoteError
from slmcheck.storage.files import sync_folder, unique_name

VARIABLE = "SLMCHECK_REMOTE"
TIMEOUT_VARIABLE = "SLMCHECK_REMOTE_TIMEOUT"
_TIMEOUT_SECONDS = 60.0
CHUNK_BYTES = 1 << 22
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*)://")
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub"}
_UNFINISHED = ".unfinished"
_FULL = re.compile(r"quota|no space|insufficient storage|disk full|storage ?full|\b507\b", re.IGNORECASE)
_SKEWED = re.compile(r"time ?too ?skewed|clock skew|not yet valid|request has expired", re.IGNORECASE)
_FORBIDDEN = re.compile(r"access ?denied|forbidden|credential|unauthorized|\b40[13]\b", re.IGNORECASE)
Value = TypeVar("Value")


class Remote(Protocol):
    """Files by name, `/` between folders."""

    shown: str
    """The address without credentials, for messages."""

    def sizes(self, folder: str) -> Mapping[str, int]:
        """Bytes of every file below a folder, by full name; empty where there is no such folder."""
        ...

    def read(self, name: str, *, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from `start` on, in pieces; FileNotFoundError where there is none."""
        ...

    def write(self, name: str, source: Path) -> None:
        """Put a file in place, all of it or nothing; an older one is replaced."""
        ...


def remote_at(address: str | None = None) -> Remote:
    """The remote of an address, else that in SLMCHECK_REMOTE.

    Args:
        address: A folder, or a URL that fsspec knows (`s3://bucket/folder`, `gs://...`, `hf://...`).

    Raises:
        InputError: If none is named, or the address is of no use.
        MissingExtraError: If the library that opens it is not installed.
    """
    named = (address if address is not None else os.environ.get(VARIABLE, "")).strip()
    if not named:
        raise InputError(
            f"No remote is named.\nExpected {VARIABLE} or --remote: a folder, s3://bucket/folder, gs://... or hf://...\n"
            f"Name one: export {VARIABLE}=/srv/slmcheck"
        )
    seconds = _time_limit()
    found = _SCHEME.match(named)
    if found is None or found[1] == "file":
        folder = Path(named.removeprefix("file://")).expanduser()
        return FolderRemote(folder, seconds)
    return FsspecRemote(named, found[1], seconds)


def without_credentials(address: str) -> str:
    """The address as it may be shown: user names, passwords and queries are left out."""
    return re.sub(r"(?<=://)[^/@]*@", "", address.partition("?")[0])


class FolderRemote:
    """A folder: a network share, or another disk."""

    def __init__(self, folder: Path, seconds: float = _TIMEOUT_SECONDS) -> None:
        self.folder = folder.absolute()
        self.shown = str(folder)
        self._seconds = seconds

    def sizes(self, folder: str) -> Mapping[str, int]:
        """See `Remote`; the share itself must be there, so that an unmounted one is not taken for an empty one."""

        def listed() -> dict[str, int]:
            if not self.folder.is_dir():
                raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(self.folder))
            found = {}
            for place, _, names in os.walk(self.folder / folder):
                for name in names:
                    if not name.endswith(_UNFINISHED):
                        path = Path(place) / name
                        found[path.relative_to(self.folder).as_posix()] = path.stat().st_size
            return found

        return self._do("listing it", listed)

    def read(self, name: str, *, start: int = 0) -> Iterator[bytes]:
        """See `Remote`."""
        file = self._do(f"reading {name}", lambda: (self.folder / name).open("rb"))
        with file:
            self._do(f"reading {name}", lambda: file.seek(start))
            while chunk := self._do(f"reading {name}", lambda: file.read(CHUNK_BYTES)):
                yield chunk

    def write(self, name: str, source: Path) -> None:
        """See `Remote`."""
        target = self.folder / name
        unfinished = target.with_name(f"{unique_name('push')}{_UNFINISHED}")

        def opened() -> Any:
            target.parent.mkdir(parents=True, exist_ok=True)
            return unfinished.open("wb", buffering=0)  # so that closing has nothing to write that could fail

        def finished(file: Any) -> None:
            os.fsync(file.fileno())
            file.close()
            os.replace(unfinished, target)
            sync_folder(target.parent)

        action = f"writing {name}"
        try:
            with source.open("rb") as content, self._do(action, opened) as file:
                while chunk := content.read(CHUNK_BYTES):
                    self._do(action, partial(_write_all, file, chunk))
                self._do(action, lambda: finished(file))
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def _do(self, action: str, work: Callable[[], Value]) -> Value:
        return _within(self._seconds, self.shown, action, work)


class FsspecRemote:
    """An object store, through fsspec: its uploads become visible whole."""

    def __init__(self, address: str, scheme: str, seconds: float = _TIMEOUT_SECONDS) -> None:
        self.shown = without_credentials(address).rstrip("/")
        self._seconds = seconds
        try:
            import fsspec
        except ImportError as error:
            raise _missing(self.shown, "fsspec") from error
        try:
            self._files, root = self._do("opening it", lambda: fsspec.core.url_to_fs(address))
        except ImportError as error:
            raise _missing(self.shown, _PACKAGES.get(scheme, scheme)) from error
        except ValueError as error:
            raise InputError(
                f"'{self.shown}' is no address of a remote: {str(error).splitlines()[0]}.\n"
                "Expected a folder, s3://bucket/folder, gs://bucket/folder or hf://datasets/org/name."
            ) from error
        self._root = str(root).rstrip("/")

    def sizes(self, folder: str) -> Mapping[str, int]:
        """See `Remote`."""

        def listed() -> dict[str, int]:
            self._files.invalidate_cache()
            try:
                found = self._files.find(self._path(folder), detail=True)
            except FileNotFoundError:
                return {}
            start = len(self._root) + 1
            return {str(path)[start:]: int(info.get("size") or 0) for path, info in found.items()}

        return self._do("listing it", listed)

    def read(self, name: str, *, start: int = 0) -> Iterator[bytes]:
        """See `Remote`."""
        size = self._do(f"reading {name}", lambda: int(self._files.size(self._path(name)) or 0))
        for begin in range(start, size, CHUNK_BYTES):
            end = min(begin + CHUNK_BYTES, size)
            yield self._do(
                f"reading {name}",
                partial(self._files.cat_file, self._path(name), start=begin, end=end),
            )

    def write(self, name: str, source: Path) -> None:
        """See `Remote`."""
        size = source.stat().st_size
        # An upload is one operation: it may take the limit once a chunk.
        seconds = self._seconds * (1 + size // CHUNK_BYTES)
        path = self._path(name)

        def put() -> int:
            # Object stores have no folders; file systems behind fsspec do.
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(source), path)
            self._files.invalidate_cache()
            return int(self._files.size(path) or 0)

        written = _within(seconds, self.shown, f"writing {name}", put)
        if written != size:
            raise RemoteError(
                f"The remote '{self.shown}' kept {written} of {size} bytes of {name}.\n"
                "Push again: what is whole there stays."
            )

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    def _do(self, action: str, work: Callable[[], Value]) -> Value:
        return _within(self._seconds, self.shown, action, work)


def _write_all(file: Any, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _time_limit() -> float:
    text = os.environ.get(TIMEOUT_VARIABLE, "").strip()
    try:
        seconds = float(text) if text else _TIMEOUT_SECONDS
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= 86_400.0:
        raise InputError(
            f"{TIMEOUT_VARIABLE} is '{text}'.\nExpected seconds that a remote may take without progress, such as 60."
        )
    return seconds


def _within(seconds: float, shown: str, action: str, work: Callable[[], Value]) -> Value:
    """The result of some work that may hang.

    Raises:
        FileNotFoundError: If the file that was asked for is not there.
        RemoteError: If it takes too long, or the remote refuses.
    """
    done: list[Value] = []
    failed: list[BaseException] = []

    def carry_out() -> None:
        try:
            done.append(work())
        except BaseException as error:  # raised again below, in the thread that asked
            failed.append(error)

    worker = threading.Thread(target=carry_out, daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        raise RemoteError(
            f"The remote '{shown}' did not answer within {seconds:g} seconds.\nIt happened while {action}.\n"
            "What was carried over is whole and stays.\n"
            f"Try again and it goes on from there; a longer limit: {TIMEOUT_VARIABLE}=300"
        )
    if not failed:
        return done[0]
    error = failed[0]
    is_no_library = isinstance(error, ImportError | ValueError) and action == "opening it"
    is_no_file = isinstance(error, FileNotFoundError) and action.startswith("reading ")
    if is_no_library or is_no_file or not isinstance(error, Exception):
        raise error
    raise RemoteError(_explanation(error, shown, action)) from error


def _explanation(error: Exception, shown: str, action: str) -> str:
    text = (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip().splitlines()[0]
    text = without_credentials(text).rstrip(".")
    number = getattr(error, "errno", None)
    where = f"It happened while {action}; what was carried over before is whole and stays."
    if number in (errno.ENOSPC, errno.EDQUOT) or _FULL.search(text):
        return f"The remote '{shown}' is full: {text}.\n{where}\nMake room there, then try again."
    if _SKEWED.search(text):
        return (
            f"The remote '{shown}' refused the time of this machine: {text}.\n{where}\n"
            "The clocks must agree within minutes.\nSet the clock of this machine, then try again."
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or _FORBIDDEN.search(text):
        return (
            f"The remote '{shown}' refused: {text}.\n{where}\n"
            "Pulling needs the right to list and read, pushing to write as well.\n"
            "Check the credentials that its library reads from the environment."
        )
    if isinstance(error, FileNotFoundError):
        return (
            f"There is no remote '{shown}': {text}.\n"
            "Expected a folder that is there, mounted perhaps, or a bucket.\nMake it, or correct the address."
        )
    return f"The remote '{shown}' cannot be reached: {text}.\n{where}\nTry again when it answers."


def _missing(shown: str, package: str) -> MissingExtraError:
    return MissingExtraError(
        f"The remote '{shown}' needs the library {package}, which is not installed.\n"
        "Install it: pip install 'slmcheck[remote]'"
    )
