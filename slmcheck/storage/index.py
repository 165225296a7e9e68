"""Hashes of large files, remembered by path, size, time and inode; losing them loses nothing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from slmcheck.storage.files import sha256_of_file

_TABLE = """CREATE TABLE IF NOT EXISTS file_digests (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER, sha256 TEXT)"""
_SETTLED_NS = 2_000_000_000
"""A file changed within the last two seconds may change again without its time showing it (coarse clocks)."""


class Index:
    """`index.sqlite` of a store."""

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self._path = path
        self._note = note

    def digest_of(self, path: Path) -> str:
        """SHA-256 of a file, read again only when its size, time or inode changed.

        Raises:
            FileNotFoundError: If there is no such file.
        """
        path = path.resolve(strict=True)
        state = path.stat()
        seen = (state.st_size, state.st_mtime_ns, state.st_ino)
        if remembered := self._remembered(path, seen):
            return remembered
        found = sha256_of_file(path)
        after = path.stat()
        if (after.st_size, after.st_mtime_ns, after.st_ino) == seen and time.time_ns() - seen[1] > _SETTLED_NS:
            self._remember(path, seen, found)
        return found

    def rebuild(self) -> None:
        """Forget everything."""
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                self._path.with_name(self._path.name + suffix).unlink()

    def _remembered(self, path: Path, seen: tuple[int, int, int]) -> str | None:
        if not self._path.exists():
            return None
        try:
            with closing(self._connect()) as connection:
                row = connection.execute(
                    "SELECT sha256 FROM file_digests WHERE path=? AND size=? AND mtime_ns=? AND inode=?",
                    (str(path), *seen),
                ).fetchone()
        except sqlite3.OperationalError:
            return None  # busy, read-only or without the table: hash the file
        except sqlite3.DatabaseError as error:
            self._discard(error)
            return None
        return None if row is None else str(row[0])

    def _remember(self, path: Path, seen: tuple[int, int, int], found: str) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection, connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(_TABLE)
                connection.execute(
                    "INSERT OR REPLACE INTO file_digests VALUES (?, ?, ?, ?, ?)", (str(path), *seen, found)
                )
        except (sqlite3.OperationalError, OSError):
            return  # busy, full or read-only: the file is hashed again next time
        except sqlite3.DatabaseError as error:
            self._discard(error)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=5.0)

    def _discard(self, error: sqlite3.DatabaseError) -> None:
        self.rebuild()
        self._note(f"{self._path.name} was damaged ({error}); it is made again.")
