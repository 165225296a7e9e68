"""Entries pushed to a remote and pulled from it, one by one; what is half carried over counts as absent.

On the remote the files of entries lie under the hash of their bytes, so that they are carried once; an entry is its
manifest, written when all its files are there, at the place that it has in the store. `belongs/<key>/` names the
entries of a run, so that nobody has to read the others. Every step may be repeated and interrupted at any byte.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from slmcheck.storage import locks
from slmcheck.storage.entries import MANIFEST, Entries, EntryName, Manifest, make_root, manifest_of
from slmcheck.storage.files import (
    disk_errors,
    files_below,
    remove_tree,
    sha256_of_file,
    sync_file,
    unique_name,
    write_synced,
)
from slmcheck.storage.origin import Origin, may_read
from slmcheck.storage.predictions import origin_of_shard
from slmcheck.storage.remote import Remote
from slmcheck.storage.transfer import ENTRY, SHARD, take_entry, take_shards
from slmcheck.storage.upkeep import Candidate, all_candidates, belonging_to

HOME = "slmcheck-v1"
_INPUTS = "inputs.json"
_KEY = re.compile(r"^[0-9a-f]{64}$")
_SKEW = timedelta(minutes=15)
_MEND = "push it again from a store that has it (slmcheck cache push --replace)"


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What a push or a pull did."""

    remote: str
    moved: tuple[str, ...]
    """Entries that were carried over, by their place in the store."""
    already_there: int
    size_bytes: int
    """Bytes that went over the wire."""
    missing: tuple[str, ...] = ()
    """Keys of asked runs that the source does not have."""
    damaged: tuple[str, ...] = ()
    """Entries that are not whole, each with what is wrong; nothing of them was taken."""
    refused: tuple[str, ...] = ()
    """Entries of pull requests that a release left where they are."""
    notes: tuple[str, ...] = ()


@dataclass
class _Tally:
    remote: str
    moved: list[str] = field(default_factory=list)
    already_there: int = 0
    size_bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def done(self, missing: Iterable[str] = ()) -> Moved:
        """The result."""
        return Moved(
            remote=self.remote,
            moved=tuple(self.moved),
            already_there=self.already_there,
            size_bytes=self.size_bytes,
            missing=tuple(missing),
            damaged=tuple(self.damaged),
            refused=tuple(self.refused),
            notes=tuple(dict.fromkeys(self.notes)),
        )

    def note_time(self, name: str, created: str) -> None:
        """Say that an entry comes from the future: then one of two clocks is wrong."""
        with suppress(ValueError):
            made = datetime.fromisoformat(created)
            now = datetime.now(UTC)
            if made.tzinfo is not None and made - now > _SKEW:
                self.notes.append(
                    f"{name} was made at {created}, and here it is {now.isoformat(timespec='seconds')}: "
                    "the clock of one of both machines is wrong. It was carried over; keys do not depend on the time."
                )


class _DamagedError(Exception):
    """An entry of the remote is not whole; the text says how."""


def push(entries: Entries, remote: Remote, keys: Iterable[str] | None = None, *, replaces: bool = False) -> Moved:
    """Carry entries to a remote; those that are whole there stay as they are.

    An entry that a pull request made is replaced by the same entry made elsewhere.

    Args:
        entries: The store's entries.
        remote: Where to.
        keys: Runs, and checkpoints of base models, whose entries are carried; None is all.
        replaces: Whether to carry also what looks whole there: a size says nothing of the bytes.

    Raises:
        RemoteError: If the remote refuses or does not answer; what was carried over stays.
        StoreError: If the disk refuses.
    """
    tally = _Tally(remote=remote.shown)
    there = dict(remote.sizes(HOME))
    if replaces:
        there.clear()
    with disk_errors(entries.root, "pushing"):
        candidates = list(all_candidates(entries))
        owners = _owners(candidates, keys)
        for item, owned_by in owners.items():
            relative = item.folder.relative_to(entries.root).as_posix()
            pushed = _push_shards if item.name is None else _push_entry
            if not pushed(entries, remote, item, there, tally):
                continue
            for owner in owned_by:
                _put_text(entries, remote, f"{HOME}/belongs/{owner}/{relative}", relative, there)
    known = {item.key for item in candidates if item.name is not None and item.name.kind == "runs"}
    tally.damaged += entries.notes
    return tally.done(missing=sorted(set(keys or ()) - known))


def _owners(candidates: Sequence[Candidate], keys: Iterable[str] | None) -> dict[Candidate, list[str]]:
    """The entries to carry, each with the keys that it belongs to."""
    if keys is not None:
        asked = sorted(set(keys))
    else:
        runs = {item.key for item in candidates if item.name is not None and item.name.kind == "runs"}
        bases = {mark for item in candidates if item.name is None for mark in item.mentions if _KEY.match(mark)}
        asked = sorted(runs | bases)
    owners: dict[Candidate, list[str]] = {}
    for key in asked:
        for item in belonging_to(candidates, {key}):
            owners.setdefault(item, []).append(key)
    for item in candidates if keys is None else ():
        owners.setdefault(item, [])
    return dict(sorted(owners.items(), key=lambda pair: pair[0].folder))


def _push_entry(entries: Entries, remote: Remote, item: Candidate, there: dict[str, int], tally: _Tally) -> bool:
    assert item.name is not None
    entry = entries.find(item.name, verify=True)
    if entry is None:
        return False
    relative = item.name.relative.as_posix()
    place = f"{HOME}/{relative}/{MANIFEST}"
    tally.note_time(relative, entry.manifest.created)
    if place in there and _is_whole_there(remote, entry.manifest, entry.folder, place, there):
        tally.already_there += 1
        return True
    for path, expected in entry.manifest.files.items():
        name = _blob(expected.sha256)
        if there.get(name) != expected.size:
            remote.write(name, entry.folder / path)
            there[name] = expected.size
            tally.size_bytes += expected.size
    remote.write(place, entry.folder / MANIFEST)
    there[place] = (entry.folder / MANIFEST).stat().st_size
    tally.size_bytes += there[place]
    tally.moved.append(relative)
    return True


def _is_whole_there(remote: Remote, own: Manifest, folder: Path, place: str, there: Mapping[str, int]) -> bool:
    """Whether the remote has an entry that may stay: whole, and not of a pull request where ours is not."""
    is_same_size = there[place] == (folder / MANIFEST).stat().st_size
    if is_same_size and _has_files(own, there):
        return True  # by far the most frequent case, and told without reading anything
    try:
        manifest = manifest_of(b"".join(remote.read(place)))
    except (FileNotFoundError, ValueError):
        return False
    if (manifest.kind, manifest.key, manifest.environment) != (own.kind, own.key, own.environment):
        return False
    if _of_pull_request(manifest.origin) and not _of_pull_request(own.origin):
        return False
    return _has_files(manifest, there)


def _has_files(manifest: Manifest, there: Mapping[str, int]) -> bool:
    return all(there.get(_blob(stored.sha256)) == stored.size for stored in manifest.files.values())


def _push_shards(entries: Entries, remote: Remote, item: Candidate, there: dict[str, int], tally: _Tally) -> bool:
    relative = item.folder.relative_to(entries.root).as_posix()
    new = False
    # What explains the rows goes first: rows without it would belong to nothing.
    for path in sorted(item.folder.iterdir(), key=lambda path: (path.name != _INPUTS, path.name)):
        shard = SHARD.fullmatch(path.name)
        if shard is None and path.name != _INPUTS:
            continue
        if shard is not None and not sha256_of_file(path).startswith(shard["hash"]):
            tally.damaged.append(f"{relative}/{path.name}: its content does not match its name; it was not pushed")
            continue
        name, size = f"{HOME}/{relative}/{path.name}", path.stat().st_size
        if there.get(name) == size:
            continue
        remote.write(name, path)
        there[name] = size
        tally.size_bytes += size
        new = True
    tally.moved.append(relative) if new else None
    tally.already_there += not new
    return True


def _put_text(entries: Entries, remote: Remote, name: str, text: str, there: dict[str, int]) -> None:
    content = f"{text}\n".encode()
    if there.get(name) == len(content):
        return
    unfinished = make_root(entries.root) / "tmp" / unique_name("belongs")
    try:
        write_synced(unfinished, content)
        remote.write(name, unfinished)
    finally:
        unfinished.unlink(missing_ok=True)
    there[name] = len(content)


def pull(entries: Entries, remote: Remote, keys: Iterable[str] | None = None, *, is_release: bool = False) -> Moved:
    """Take over entries of a remote, each verified; those that the store has stay as they are.

    Args:
        entries: The store's entries.
        remote: Where from.
        keys: Runs, and checkpoints of base models, whose entries are taken; None is all.
        is_release: Whether to leave what a pull request made.

    Raises:
        RemoteError: If the remote refuses or does not answer; what was taken stays.
        StoreError: If the disk refuses.
    """
    tally = _Tally(remote=remote.shown)
    asked = None if keys is None else sorted(set(keys))
    places = _places(remote, asked)
    for relative in sorted(places):
        match = ENTRY.fullmatch(f"{relative}/file")
        if match is None or match["start"] != match["key"][:2]:
            continue  # no entry of ours
        take = _pull_shards if match["kind"] == "predictions" else _pull_entry
        try:
            take(entries, remote, relative, tally, is_release=is_release)
        except _DamagedError as error:
            tally.damaged.append(f"{relative}: {error}")
    runs = {relative.split("/")[2] for relative in places if relative.startswith("runs/")}
    return tally.done(missing=[key for key in asked or () if key not in runs])


def _places(remote: Remote, keys: Sequence[str] | None) -> set[str]:
    """Where the wanted entries lie below the home of the remote."""
    if keys is None:
        names = remote.sizes(HOME)
        found = {name.removeprefix(f"{HOME}/").rpartition("/")[0] for name in names if name.endswith(f"/{MANIFEST}")}
        shards = {name.removeprefix(f"{HOME}/").rpartition("/")[0] for name in names if SHARD.search(name)}
        return found | shards
    return {
        name.removeprefix(f"{HOME}/belongs/{key}/") for key in keys for name in remote.sizes(f"{HOME}/belongs/{key}")
    }


def _pull_entry(entries: Entries, remote: Remote, relative: str, tally: _Tally, *, is_release: bool) -> None:
    kind, _, key, *environment = relative.split("/")
    name = EntryName(kind=kind, key=key, environment=environment[0] if environment else None)  # type: ignore[arg-type]
    own = entries.find(name)
    if own is not None and not _of_pull_request(own.manifest.origin):
        tally.already_there += 1
        return
    try:
        text = b"".join(remote.read(f"{HOME}/{relative}/{MANIFEST}"))
        manifest = manifest_of(text)
    except FileNotFoundError as error:
        raise _DamagedError(f"its manifest is missing; {_MEND}") from error
    except ValueError as error:
        raise _DamagedError(f"{error}; {_MEND}") from error
    if (manifest.kind, manifest.key, manifest.environment) != (name.kind, name.key, name.environment):
        raise _DamagedError("its manifest is of another entry")
    if is_release and not may_read(manifest.origin, entries.origin):
        tally.refused.append(f"{relative}: made by {manifest.origin}")
        return
    if own is not None and _of_pull_request(manifest.origin):
        tally.already_there += 1
        return
    tally.note_time(relative, manifest.created)
    with disk_errors(entries.root, f"pulling {relative}"):
        scratch = make_root(entries.root) / "tmp" / unique_name("pull")
        parts = [_fetched_file(entries, remote, manifest, path, tally) for path in manifest.files]
        try:
            _assemble(scratch / relative, dict(zip(manifest.files, parts, strict=True)), text)
            if own is not None:
                entries.remove(name)
            take_entry(entries, scratch / relative, Path(relative))
        finally:
            remove_tree(scratch)
    tally.moved.append(relative)
    for part in parts:
        part.unlink(missing_ok=True)


def _fetched_file(entries: Entries, remote: Remote, manifest: Manifest, path: str, tally: _Tally) -> Path:
    stored = manifest.files[path]
    inside = PurePosixPath(path)
    if inside.is_absolute() or not inside.parts or any(part in ("", ".", "..") for part in path.split("/")):
        raise _DamagedError(f"its manifest names the file {path!r}, which would lie outside the entry")
    if not _KEY.match(stored.sha256):
        raise _DamagedError(f"its manifest gives {path} no hash")

    def is_right(part: Path) -> str:
        size = part.stat().st_size
        if size != stored.size:
            return f"{path} has {size} bytes instead of {stored.size}"
        return "" if sha256_of_file(part) == stored.sha256 else f"{path} has other content than when it was published"

    return _fetched(entries, remote, _blob(stored.sha256), stored.sha256, is_right, tally, size=stored.size)


def _fetched(
    entries: Entries,
    remote: Remote,
    name: str,
    mark: str,
    is_right: Callable[[Path], str],
    tally: _Tally,
    *,
    size: int | None = None,
) -> Path:
    """A file of the remote in the scratch folder; an earlier pull that was killed is gone on with."""
    scratch = make_root(entries.root) / "tmp"
    with locks.try_hold(entries.root / "locks", f"pull-{mark[:32]}") as is_mine:
        part = scratch / (f"pull-{mark}.part" if is_mine else unique_name(f"pull-{mark[:12]}"))
        for attempt in (1, 2):
            start = part.stat().st_size if part.is_file() else 0
            if size is not None and start > size:
                part.unlink()
                start = 0
            try:
                with part.open("ab") as file:
                    for chunk in remote.read(name, start=start) if start != size or size == 0 else ():
                        file.write(chunk)
                        tally.size_bytes += len(chunk)
                sync_file(part)
            except FileNotFoundError as error:
                part.unlink(missing_ok=True)
                raise _DamagedError(f"{name} is missing; {_MEND}") from error
            damage = is_right(part)
            if not damage:
                return part
            part.unlink()
            # What an interrupted pull left may be of a file that was replaced since: once more from its start.
            if start == 0 or attempt == 2:
                raise _DamagedError(f"{damage}; {_MEND}")
    raise AssertionError(name)


def _assemble(folder: Path, parts: Mapping[str, Path], manifest: bytes) -> None:
    folder.mkdir(parents=True)
    for path, part in parts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(part, target)
        except OSError:
            shutil.copyfile(part, target)  # a file system without hard links
    write_synced(folder / MANIFEST, manifest)


def _pull_shards(entries: Entries, remote: Remote, relative: str, tally: _Tally, *, is_release: bool) -> None:
    own, key = entries.root / relative, relative.split("/")[2]
    names = sorted(remote.sizes(f"{HOME}/{relative}"), key=lambda name: (not name.endswith(_INPUTS), name))
    wanted = [name for name in names if not (own / name.rpartition("/")[2]).is_file()]
    scratch = make_root(entries.root) / "tmp" / unique_name("pull")
    parts: list[Path] = []
    damaged: list[str] = []
    try:
        for name in wanted:
            last = name.rpartition("/")[2]
            if SHARD.fullmatch(last) is None and last != _INPUTS:
                continue
            try:
                part = _fetched(
                    entries, remote, name, f"{key[:24]}-{last.split('.')[0]}", _shard_check(last, key), tally
                )
            except _DamagedError as error:
                damaged.append(str(error))
                continue
            if last != _INPUTS and is_release and not may_read(origin := origin_of_shard(part), entries.origin):
                tally.refused.append(f"{relative}/{last}: made by {origin}")
                continue
            parts.append(part)
            (scratch / relative).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(part, scratch / relative / last)
        taken = files_below(scratch)
        if any(SHARD.fullmatch(path.name) for path in taken):
            with disk_errors(entries.root, f"pulling {relative}"):
                take_shards(entries, scratch / relative, Path(relative))
            tally.moved.append(relative)
        elif not damaged and not any(item.startswith(relative) for item in tally.refused):
            tally.already_there += 1
    finally:
        remove_tree(scratch)
    for part in parts:
        part.unlink(missing_ok=True)
    if damaged:
        raise _DamagedError(". ".join(damaged))


def _shard_check(name: str, key: str) -> Callable[[Path], str]:
    shard = SHARD.fullmatch(name)

    def check(part: Path) -> str:
        if shard is not None:
            return "" if sha256_of_file(part).startswith(shard["hash"]) else f"{name} does not match its name"
        try:
            value = json.loads(part.read_bytes())
        except ValueError:
            return f"{name} is no JSON"
        return "" if isinstance(value, dict) and value.get("key") == key else f"{name} is of other predictions"

    return check


def _blob(sha256: str) -> str:
    return f"{HOME}/files/{sha256[:2]}/{sha256}"


def _of_pull_request(origin: Origin | None) -> bool:
    return origin is not None and origin.is_pull_request
