"""Finished runs: stored by what was asked for, below that by where it was done."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from slmcheck.errors import StoreError, UnknownRunError
from slmcheck.records import Environment, Json, RunRecord, from_json, to_json
from slmcheck.storage.canonical import digest, environment_digest
from slmcheck.storage.entries import Entries, Entry, EntryName

_RECORD = "run.json"
_SHOWN_KEYS = 10


def publish_run(entries: Entries, record: RunRecord, folder: Path, inputs: Json) -> RunRecord:
    """Store a finished run; gives its record as look-up will give it.

    Args:
        entries: The store's entries.
        record: The run; paths inside `folder` become paths inside the entry.
        folder: What training left to keep: weights, history, log. Moved when it lies in the store, else copied.
        inputs: What the run key is the digest of; None where that is not known (then `why` cannot explain the run).

    Raises:
        StoreError: If the key is not the digest of the inputs, or the disk refuses.
    """
    if inputs is not None and digest("run", inputs) != record.key:
        raise StoreError(f"The key of run '{record.name}' is not the digest of its inputs.")
    name = EntryName(kind="runs", key=record.key, environment=environment_digest(record.environment))
    portable = dataclasses.replace(
        record,
        directory=Path(),
        made_elsewhere=False,
        checkpoint=dataclasses.replace(record.checkpoint, path=_inside(record.checkpoint.path, folder)),
    )
    text = json.dumps(to_json(portable), indent=1, ensure_ascii=False) + "\n"
    (folder / _RECORD).write_bytes(text.encode("utf-8", errors="surrogatepass"))
    return _read(entries, entries.publish_folder(name, folder, inputs), elsewhere=False)


def find_run(
    entries: Entries, key: str, environment: Environment, *, same_environment: bool = False
) -> RunRecord | None:
    """The run of a key: of this environment, else the newest other one.

    Args:
        entries: The store's entries.
        key: The run key.
        environment: Where the caller would train.
        same_environment: Whether a run of another environment counts as none.

    Raises:
        StoreError: If a newer slmcheck wrote the entry, or the disk refuses.
    """
    own = EntryName(kind="runs", key=key, environment=environment_digest(environment))
    if entry := entries.find(own):
        return _read(entries, entry, elsewhere=False)
    if same_environment:
        return None
    names = [name for name in _environments(entries, key) if name != own]
    others = [entry for name in names if (entry := entries.find_allowed(name))]
    if not others:
        # Says why, where all there are were made by pull requests.
        return next((None for name in names if entries.find(name)), None)
    return _read(entries, max(others, key=lambda entry: entry.manifest.created), elsewhere=True)


def all_runs(entries: Entries) -> Iterator[RunRecord]:
    """Every stored run, newest first."""
    found = [entry for name in entries.names("runs") if (entry := entries.find_allowed(name))]
    for entry in sorted(found, key=lambda entry: entry.manifest.created, reverse=True):
        yield _read(entries, entry, elsewhere=False)


def inputs_of(entries: Entries, run_key: str) -> Json:
    """What a run key is the digest of; a prefix that only one run has is enough.

    Raises:
        UnknownRunError: If no run of the store has that key, or several do.
    """
    names = [name for name in entries.names("runs") if name.key.startswith(run_key)]
    keys = sorted({name.key for name in names})
    if len(keys) != 1:
        found = f"{len(keys)} runs have keys that start with it" if keys else "no run of the store has it"
        raise UnknownRunError(
            f"The run key '{run_key}' names no single run: {found}.\n"
            f"The store is {entries.root}.\n"
            f"Its runs: {', '.join(key[:12] for key in keys or _known_keys(entries)) or 'none'}."
        )
    for name in names:
        if entry := entries.find(name):
            return entry.manifest.inputs
    raise UnknownRunError(f"The run '{run_key}' was damaged and is put aside.\nTrain it again.")


def _known_keys(entries: Entries) -> list[str]:
    return sorted({name.key for name in entries.names("runs")})[:_SHOWN_KEYS]


def _environments(entries: Entries, key: str) -> Iterator[EntryName]:
    folder = entries.root / EntryName(kind="runs", key=key).relative
    if folder.is_dir():
        for inner in sorted(folder.iterdir()):
            yield EntryName(kind="runs", key=key, environment=inner.name)


def _read(entries: Entries, entry: Entry, *, elsewhere: bool) -> RunRecord:
    record = from_json(RunRecord, json.loads((entry.folder / _RECORD).read_bytes()))
    path = record.checkpoint.path
    checkpoint = dataclasses.replace(record.checkpoint, path=path if path.is_absolute() else entry.folder / path)
    return dataclasses.replace(record, directory=entry.folder, checkpoint=checkpoint, made_elsewhere=elsewhere)


def _inside(path: Path, folder: Path) -> Path:
    absolute, home = path.absolute(), folder.absolute()
    return absolute.relative_to(home) if absolute.is_relative_to(home) else absolute
