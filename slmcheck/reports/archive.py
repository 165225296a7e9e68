"""A bundle as one file: a tar archive that equal files always give byte for byte.

It is not compressed (its tables are), because then every byte of it has one value that is right: reading compares the
archive with the one that its own files make.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping

from slmcheck.errors import InputError

_NAME = re.compile(r"[^/\x00-\x1f\x7f]+(?:/[^/\x00-\x1f\x7f]+)*")
_MODE = 0o644


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """The archive of some files, by name."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(files[name]), _MODE, 0
            archive.addfile(member, io.BytesIO(files[name]))
    return content.getvalue()


def files_of(archive: bytes, shown: str) -> dict[str, bytes]:
    """The files of an archive, by name.

    Args:
        archive: Its bytes.
        shown: What it is called, for messages.

    Raises:
        InputError: If it is no archive, or holds what no bundle holds.
    """
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as members:
            for member in members:
                reader = members.extractfile(member) if member.isreg() else None
                is_path = _NAME.fullmatch(member.name) and ".." not in member.name.split("/")
                if reader is None or not is_path or member.name in files:
                    raise InputError(
                        f"'{shown}' is no bundle of slmcheck: it holds {member.name!r}, which no bundle holds."
                    )
                files[member.name] = reader.read()
    except (tarfile.TarError, EOFError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise InputError(
            f"'{shown}' cannot be read as a bundle: {error}.\nIt was damaged, or is another kind of file.\n"
            "A bundle is what slmcheck report --format bundle writes."
        ) from error
    return files
