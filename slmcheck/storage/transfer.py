"""Entries in one tar file: how a CI cache carries them from the job that trains to the jobs that gate.

Only what is verified leaves, and only what is verified enters; names in the file are checked, never trusted.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from slmcheck.errors import InputError, StoreError
from slmcheck.storage.canonical import digest
from slmcheck.storage.entries import (
    MANIFEST,
    Entries,
    EntryName,
    damage_of,
    make_root,
    read_manifest,
)
from slmcheck.storage.files import disk_errors, files_below, remove_tree, sha256_of_file, sync_folder, unique_name
from slmcheck.storage.upkeep import all_candidates, belonging_to

_KEY = r"(?P<key>[A-Za-z0-9][A-Za-z0-9_-]{0,127})"
ENTRY = re.compile(
    rf"(?P<kind>runs|exports|bases|scores|findings|evidence|predictions)/(?P<start>[A-Za-z0-9_-]{{1,2}})/{_KEY}/(?P<rest>.+)"
)
SHARD = re.compile(r"part-(?P<hash>[0-9a-f]{32})\.jsonl\.gz")


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What a tar file carried."""

    entries: tuple[str, ...]
    """Folders below the root of the store."""
    already_there: int
    """Of these, how many the store had."""
    size_bytes: int


def key_of_runs(run_keys: Iterable[str]) -> str:
    """One key for a set of runs, whatever their order: the key of a CI cache."""
    return digest("runs", sorted(set(run_keys)))


def export_runs(
    entries: Entries, run_keys: Iterable[str], target: Path, *, checkpoint_keys: Iterable[str] = ()
) -> Carried:
    """Write runs, and all that was made of them, to a tar file.

    Args:
        entries: The store's entries.
        run_keys: The runs.
        target: The tar file; an existing one is replaced.
        checkpoint_keys: Further checkpoints, those of base models, whose predictions and scores go along.

    Raises:
        InputError: If a run is not in the store.
        StoreError: If the disk refuses.
    """
    keys = set(run_keys)
    missing = keys - {name.key for name in entries.names("runs")}
    if missing:
        raise InputError(
            f"{len(missing)} of {len(keys)} runs are not in the store {entries.root}: "
            f"{', '.join(sorted(key[:12] for key in missing)[:5])}.\n"
            "Train them first: slmcheck run suites"
        )
    with disk_errors(target.parent, f"writing {target.name}"):
        chosen = belonging_to(list(all_candidates(entries)), keys | set(checkpoint_keys))
        # A damaged entry is put aside here, so it does not travel.
        whole = [item for item in chosen if item.name is None or entries.find(item.name, verify=True)]
        folders = sorted(item.folder for item in whole)
        unfinished = target.with_name(unique_name(target.name[:40]))
        try:
            with tarfile.open(unfinished, "w") as archive:
                for folder in folders:
                    for path in files_below(folder):
                        archive.add(path, arcname=path.relative_to(entries.root).as_posix(), recursive=False)
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)
        size = target.stat().st_size
    names = tuple(folder.relative_to(entries.root).as_posix() for folder in folders)
    return Carried(entries=names, already_there=len(names), size_bytes=size)


def import_tar(entries: Entries, source: Path) -> Carried:
    """Take over the entries of a tar file that `export_runs` wrote; those that the store has stay as they are.

    Raises:
        InputError: If the file is missing, no tar file, or holds anything else than entries of a store.
        StoreError: If an entry does not match its own hashes, or the disk refuses. Nothing of that entry is taken.
    """
    if not source.is_file():
        raise InputError(f"There is no file '{source}' to import.\nMake one: slmcheck cache export -o {source.name}")
    with disk_errors(entries.root, f"importing {source.name}"):
        scratch = make_root(entries.root) / "tmp" / unique_name("import")
        scratch.mkdir()
        try:
            _unpack(source, scratch)
            names, known = [], 0
            for folder in _unpacked_entries(scratch):
                relative = folder.relative_to(scratch)
                names.append(relative.as_posix())
                taken = take_shards if relative.parts[0] == "predictions" else take_entry
                known += not taken(entries, folder, relative)
        finally:
            remove_tree(scratch)
    return Carried(entries=tuple(names), already_there=known, size_bytes=source.stat().st_size)


def _unpack(source: Path, scratch: Path) -> None:
    try:
        with tarfile.open(source, "r:*") as archive:
            for member in archive:
                target = scratch / _checked_name(source, member)
                content = archive.extractfile(member)
                if content is None:
                    raise _foreign(source, member)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    while chunk := content.read(1 << 20):
                        file.write(chunk)
                    os.fsync(file.fileno())
                os.utime(target, (member.mtime, member.mtime))
    except (tarfile.TarError, EOFError) as error:
        reason = str(error).splitlines()[0].rstrip(":") if str(error) else "it ends too early"
        raise InputError(
            f"'{source}' cannot be read as a tar file: {reason}.\nMake it again: slmcheck cache export -o {source.name}"
        ) from error


def _checked_name(source: Path, member: tarfile.TarInfo) -> Path:
    match = ENTRY.fullmatch(member.name)
    parts = member.name.split("/")
    if not member.isfile() or match is None or any(part in ("", ".", "..") for part in parts) or "\\" in member.name:
        raise _foreign(source, member)
    if match["start"] != match["key"][:2]:
        raise _foreign(source, member)
    return Path(*parts)


def _foreign(source: Path, member: tarfile.TarInfo) -> InputError:
    return InputError(
        f"'{source}' was not taken over: it holds {member.name!r}, which is no file of an entry.\n"
        "Only files that slmcheck cache export wrote are imported."
    )


def _unpacked_entries(scratch: Path) -> Iterator[Path]:
    for manifest in sorted(scratch.glob(f"*/??/*/{MANIFEST}")) + sorted(scratch.glob(f"runs/??/*/*/{MANIFEST}")):
        yield manifest.parent
    yield from sorted(path for path in scratch.glob("predictions/??/*") if path.is_dir())


def take_entry(entries: Entries, folder: Path, relative: Path) -> bool:
    """Publish an unpacked entry; False when the store has it."""
    kind, _, key, *environment = relative.parts
    name = EntryName(kind=kind, key=key, environment=environment[0] if environment else None)  # type: ignore[arg-type]
    try:
        manifest = read_manifest(folder)
    except ValueError as error:
        raise StoreError(f"The imported entry {name} is damaged: {error}.") from error
    if (manifest.kind, manifest.key, manifest.environment) != (name.kind, name.key, name.environment):
        raise StoreError(f"The imported entry {name} has the manifest of another entry.")
    listed = {folder / relative_path for relative_path in manifest.files} | {folder / MANIFEST}
    unlisted = [path for path in files_below(folder) if path not in listed]
    if unlisted:
        raise StoreError(f"The imported entry {name} holds {unlisted[0].name}, which its manifest does not list.")
    for relative_path, expected in manifest.files.items():
        if damage := damage_of(folder / relative_path, expected, deep=True):
            raise StoreError(f"The imported entry {name} is damaged: {relative_path} {damage}.")
    if entries.find(name):
        return False
    final = entries.root / name.relative
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(folder, final)
    except OSError:
        if entries.find(name):
            return False  # somebody else published it meanwhile
        raise
    sync_folder(final.parent)
    return True


def take_shards(entries: Entries, folder: Path, relative: Path) -> bool:
    """Add unpacked shards of predictions; False when the store has them all."""
    final = entries.root / relative
    final.mkdir(parents=True, exist_ok=True)
    added = False
    for path in files_below(folder):
        match = SHARD.fullmatch(path.name)
        if match is not None and not sha256_of_file(path).startswith(match["hash"]):
            raise StoreError(f"The imported predictions {relative.name[:12]} are damaged: {path.name}.")
        if match is None and path.name != "inputs.json":
            raise StoreError(f"The imported predictions {relative.name[:12]} hold {path.name}, which is no shard.")
        if not (final / path.name).exists():
            os.rename(path, final / path.name)
            added = added or match is not None
    sync_folder(final)
    return added
