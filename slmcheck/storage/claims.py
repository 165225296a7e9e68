"""Work that failed in a session: remembered for the session, shown once in it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from slmcheck.storage.entries import make_root
from slmcheck.storage.files import disk_errors, write_whole

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


class Failures:
    """`failed/<session>/` of a store; other sessions try again."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def record(self, session: str, key: str, text: str) -> None:
        """Remember that the work of a key failed; what was said first stays.

        Raises:
            StoreError: If the disk refuses.
        """
        path = self._path(session, key, "txt")
        with disk_errors(self._root, f"recording the failure of {key[:12]}"):
            if not path.exists():
                make_root(self._root)
                path.parent.mkdir(parents=True, exist_ok=True)
                content = text.encode("utf-8", errors="surrogatepass")
                write_whole(path, content, scratch=self._root / "tmp")

    def claim(self, session: str, key: str, text: str) -> bool:
        """Remember a failure; True for the one caller of the session that shall show it in full.

        Raises:
            StoreError: If the disk refuses.
        """
        self.record(session, key, text)
        with disk_errors(self._root, f"claiming the failure of {key[:12]}"):
            try:
                os.close(os.open(self._path(session, key, "claimed"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            except FileExistsError:
                return False
        return True

    def read(self, session: str, key: str) -> str | None:
        """What was said when the work of a key failed in this session; None when it did not fail."""
        with disk_errors(self._root, f"reading the failure of {key[:12]}"):
            try:
                content = self._path(session, key, "txt").read_bytes()
            except FileNotFoundError:
                return None
        return content.decode("utf-8", errors="surrogatepass")

    def _path(self, session: str, key: str, suffix: str) -> Path:
        return self._root / "failed" / _UNSAFE.sub("_", session) / f"{_UNSAFE.sub('_', key)}.{suffix}"
