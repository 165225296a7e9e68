"""Deleting what nobody needs, and looking for damage."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slmcheck.errors import StoreError
from slmcheck.storage.entries import ENTRY_KINDS, MANIFEST, Entries, EntryName, read_manifest
from slmcheck.storage.files import disk_errors, files_below, host_name, owner_of, remove_tree, size_below, unique_name
from slmcheck.storage.locks import try_hold
from slmcheck.storage.predictions import PredictionSet, origin_of_shard

_TEXTS = re.compile(r'"([A-Za-z0-9_-]{1,128})"')
_HOUR = 3600.0
_DAY = 24 * _HOUR
_WORK_DAYS = 14.0
_QUARANTINE_DAYS = 7.0
_OWN_SCRATCH_SECONDS = _HOUR
"""A dead process's scratch folder may belong to a container that shares this host name but not its process ids."""
_FOREIGN_SCRATCH_SECONDS = _DAY


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What `gc` deleted, or would delete."""

    deleted: tuple[str, ...]
    """Folders below the root of the store."""
    freed_bytes: int
    kept: int
    """Entries that stay."""
    kept_bytes: int
    protected: int
    """Those of them that baselines reference."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What `verify` found."""

    whole: int
    damaged: tuple[str, ...]
    """Now in quarantine; each is made again when it is asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One entry of the store, as gc and export see it."""

    folder: Path
    name: EntryName | None
    """None for predictions."""
    used: float
    """Seconds since the epoch."""
    size: int
    key: str
    mentions: frozenset[str]
    """Every text in its inputs, keys of what it was made of among them; the checkpoint's key for a run."""


def collect(
    entries: Entries,
    *,
    max_bytes: int | None = None,
    keep_days: float | None = 30.0,
    keep_runs: Iterable[str] = (),
    of_pull_requests: bool = False,
    dry_run: bool = False,
) -> Collected:
    """Delete what was not used for `keep_days`, then the least recently used until `max_bytes` are left.

    What baselines reference stays: the runs of the given keys and everything made of them. Unfinished trainings
    go after 14 days, quarantined files after 7, scratch folders when their process is gone.

    Args:
        entries: The store's entries.
        max_bytes: How much the store may hold; None is no limit.
        keep_days: How long an unused entry stays; None is for ever.
        keep_runs: Run keys that stay whatever their age.
        of_pull_requests: Whether to delete what pull requests made, all of it, and nothing else.
        dry_run: Whether to say what would be deleted and delete nothing.

    Raises:
        StoreError: If the clock of this machine is behind what the store holds, or the disk refuses.
    """
    now = time.time()
    keep = set(keep_runs)
    with disk_errors(entries.root, "deleting what is not needed"):
        candidates = sorted(all_candidates(entries), key=lambda item: item.used)
        if of_pull_requests:
            return _collect_pull_requests(entries, candidates, dry_run=dry_run)
        _refuse_wrong_clock(candidates, now)
        protected = belonging_to(candidates, keep)
        total = sum(item.size for item in candidates)
        deleted: list[str] = []
        freed = 0
        for item in candidates:
            too_old = keep_days is not None and now - item.used > keep_days * _DAY
            too_much = max_bytes is not None and total - freed > max_bytes
            if item in protected or not (too_old or too_much):
                continue
            if dry_run or _delete(entries, item):
                deleted.append(item.folder.relative_to(entries.root).as_posix())
                freed += item.size
        for folder in _leftovers(entries.root, now):
            size = size_below(folder)
            if dry_run or _delete_leftover(entries.root, folder):
                deleted.append(folder.relative_to(entries.root).as_posix())
                freed += size
    return Collected(
        deleted=tuple(deleted),
        freed_bytes=freed,
        kept=len(candidates) - sum(1 for item in candidates if _relative(entries, item) in deleted),
        kept_bytes=total - sum(item.size for item in candidates if _relative(entries, item) in deleted),
        protected=len(protected),
    )


def _refuse_wrong_clock(candidates: Sequence[Candidate], now: float) -> None:
    """Ages mean nothing where the clock is wrong, and deleting cannot be undone."""
    newest = max((item.used for item in candidates), default=now)
    if newest - now > _DAY:
        here, there = (time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment)) for moment in (now, newest))
        raise StoreError(
            f"Nothing was deleted: the clock of this machine says {here}, and an entry was used at {there}.\n"
            "Which entries are old cannot be told while the clock is wrong.\n"
            "Set the clock. If that entry is what is wrong: touch its manifest.json."
        )


def _collect_pull_requests(entries: Entries, candidates: Sequence[Candidate], *, dry_run: bool) -> Collected:
    deleted, freed = [], 0
    for item in candidates:
        shards = () if item.name is not None else _shards_of_pull_requests(item.folder)
        whole = item.name is not None and _is_of_pull_request(item.folder)
        for path in (item.folder,) if whole else shards:
            size = size_below(path) if path.is_dir() else path.stat().st_size
            if not dry_run and path.is_dir() and not _delete(entries, item):
                continue
            if not dry_run and not path.is_dir():
                path.unlink(missing_ok=True)
            deleted.append(path.relative_to(entries.root).as_posix())
            freed += size
    gone = set(deleted)
    kept = [item for item in candidates if _relative(entries, item) not in gone]
    return Collected(
        deleted=tuple(deleted),
        freed_bytes=freed,
        kept=len(kept),
        kept_bytes=sum(item.size for item in candidates) - freed,
        protected=0,
    )


def _is_of_pull_request(folder: Path) -> bool:
    try:
        origin = read_manifest(folder).origin
    except (FileNotFoundError, ValueError):
        return False  # damaged or gone: reading it tells
    return origin is not None and origin.is_pull_request


def _shards_of_pull_requests(folder: Path) -> tuple[Path, ...]:
    found = []
    for path in sorted(folder.glob("part-*.jsonl.gz")):
        with suppress(StoreError):  # a damaged shard is put aside when it is read
            origin = origin_of_shard(path)
            if origin is not None and origin.is_pull_request:
                found.append(path)
    return tuple(found)


def check_all(entries: Entries) -> Verified:
    """Compare every file of every entry with its hash; damaged entries go to quarantine.

    Raises:
        StoreError: If a newer slmcheck wrote an entry, or the disk refuses.
    """
    whole, before = 0, len(entries.notes)
    for kind in ENTRY_KINDS:
        for name in entries.names(kind):
            if entries.find(name, verify=True) is not None:
                whole += 1
    for folder in _prediction_folders(entries.root):
        shards = len(list(folder.glob("part-*.jsonl.gz")))
        noted = len(entries.notes)
        PredictionSet(entries.root, folder.name, None, entries.notes.append).read()
        whole += shards - (len(entries.notes) - noted)
    return Verified(whole=whole, damaged=tuple(entries.notes[before:]))


def _relative(entries: Entries, item: Candidate) -> str:
    return item.folder.relative_to(entries.root).as_posix()


def all_candidates(entries: Entries) -> Iterator[Candidate]:
    """Every entry and every set of predictions; nothing is verified."""
    for kind in ENTRY_KINDS:
        for name in entries.names(kind):
            folder = entries.root / name.relative
            if found := _candidate(folder, name, folder / MANIFEST):
                yield found
    for folder in _prediction_folders(entries.root):
        if found := _candidate(folder, None, folder / "inputs.json"):
            yield found


def belonging_to(candidates: Sequence[Candidate], keys: Iterable[str]) -> list[Candidate]:
    """The entries of the given keys and what was made of them: predictions of their checkpoints, scores of these."""
    marks = set(keys)
    found: list[Candidate] = []
    left = list(candidates)
    while True:
        new = [item for item in left if item.key in marks or not marks.isdisjoint(item.mentions)]
        if not new:
            return found
        found += new
        taken = {id(item) for item in new}
        left = [item for item in left if id(item) not in taken]
        marks |= {item.key for item in new}
        # A run's only mention is its checkpoint: what was made of that belongs to the run.
        marks |= {mark for item in new if item.name is not None and item.name.kind == "runs" for mark in item.mentions}


def _candidate(folder: Path, name: EntryName | None, described: Path) -> Candidate | None:
    key = name.key if name is not None else folder.name
    try:
        used = described.stat().st_mtime
        if name is not None and name.kind == "runs":
            # A run's rows may mention anything; only its checkpoint says what belongs to it.
            mentions = {checkpoint_key(folder)} - {""}
        else:
            mentions = set(_TEXTS.findall(described.read_text(encoding="utf-8", errors="replace")))
    except (FileNotFoundError, ValueError):
        # Another gc was faster, or the entry is damaged: it goes when it is read next.
        return None
    size = size_below(folder)
    return Candidate(folder=folder, name=name, key=key, used=used, size=size, mentions=frozenset(mentions))


def checkpoint_key(folder: Path) -> str:
    """The key of a stored run's checkpoint; empty where the entry does not say."""
    record = json.loads((folder / "run.json").read_bytes())
    return str(record.get("checkpoint", {}).get("key", ""))


def _prediction_folders(root: Path) -> list[Path]:
    return sorted(path for path in (root / "predictions").glob("??/*") if path.is_dir())


def _delete(entries: Entries, item: Candidate) -> bool:
    """Move an entry away in one step, then delete it; False when it is in use or gone."""
    with try_hold(entries.root / "locks", _lock_of(item)) as free:
        if not free:
            return False
        if item.name is not None:
            return entries.remove(item.name)
        target = entries.root / "quarantine" / unique_name("removed")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(item.folder, target)
        except FileNotFoundError:
            return False
        remove_tree(target)
        return True


def _lock_of(item: Candidate) -> str:
    """The lock that whoever makes this entry holds."""
    if item.name is None:
        return f"predictions-{item.folder.name}"
    if item.name.environment is not None:
        return f"work-{item.name.key}-{item.name.environment}"
    return f"{item.name.kind}-{item.name.key}"


def _leftovers(root: Path, now: float) -> Iterator[Path]:
    for folder in _inside(root / "work"):
        if now - _last_change(folder) > _WORK_DAYS * _DAY:
            yield folder
    for name in ("quarantine", "failed"):
        for folder in _inside(root / name):
            if now - _last_change(folder) > _QUARANTINE_DAYS * _DAY:
                yield folder
    for folder in _inside(root / "tmp"):
        age, owner = now - _last_change(folder), owner_of(folder.name)
        if owner is not None and owner[0] == host_name():
            if age > _OWN_SCRATCH_SECONDS and not _is_alive(owner[1]):
                yield folder
        elif age > _FOREIGN_SCRATCH_SECONDS:
            yield folder


def _delete_leftover(root: Path, folder: Path) -> bool:
    if folder.parent.name != "work":
        _remove(folder)
        return True
    # The lock of an unfinished training is held as long as somebody trains in it, whatever its age.
    with try_hold(root / "locks", f"work-{folder.name}") as free:
        if free:
            remove_tree(folder)
        return free


def _remove(path: Path) -> None:
    if path.is_dir():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _last_change(path: Path) -> float:
    """Seconds since the epoch of the newest change below a path."""
    newest = 0.0
    with suppress(FileNotFoundError):
        newest = path.stat().st_mtime
    for inner in files_below(path) if path.is_dir() else []:
        with suppress(FileNotFoundError):
            newest = max(newest, inner.stat().st_mtime)
    return newest


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
