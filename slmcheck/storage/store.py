"""The store: everything that slmcheck computed once and finds again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from slmcheck.records import Environment, Json, RunRecord
from slmcheck.storage import claims, locks, runs, scores, transfer, travel, upkeep
from slmcheck.storage.canonical import environment_digest
from slmcheck.storage.differences import Difference, differences
from slmcheck.storage.entries import Entries, EntryKind, EntryName, make_root
from slmcheck.storage.files import disk_errors, remove_tree, unique_name
from slmcheck.storage.index import Index
from slmcheck.storage.predictions import PredictionSet
from slmcheck.storage.remote import Remote
from slmcheck.storage.scores import StoredScore

_DOCUMENT = "document.json"
VARIABLE = "SLMCHECK_STORE"


class Store:
    """Runs, predictions, scores, exports, bases and findings below one folder; nothing is made before it is needed.

    Many processes may use one store at once. Entries are immutable and verified when they are read: the size of every
    file always, the hash of small files always and of all files with `verify`.
    """

    def __init__(self, root: Path, *, verify: bool = False, is_release: bool = False) -> None:
        self.root = root.absolute()
        self.entries = Entries(root=self.root, verify=verify, is_release=is_release)
        self._failures = claims.Failures(self.root)
        self._index = Index(self.root / "index.sqlite", self.entries.notes.append)

    @classmethod
    def locate(cls, project_root: Path, *, verify: bool = False, is_release: bool = False) -> Store:
        """The store of a project: the folder in SLMCHECK_STORE, else `.slmcheck/store/v1` in the project.

        With `is_release` what a pull request made is refused.
        """
        named = os.environ.get(VARIABLE)
        root = Path(named).expanduser() if named else project_root / ".slmcheck" / "store" / "v1"
        return cls(root, verify=verify, is_release=is_release)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was damaged and is made again, in words, for the report."""
        return tuple(self.entries.notes)

    # Runs

    def find_run(self, key: str, environment: Environment, *, same_environment: bool = False) -> RunRecord | None:
        """The run of a key: of this environment, else the newest other one with `made_elsewhere` set.

        Raises:
            StoreError: If a newer slmcheck wrote it, or the disk refuses.
        """
        return runs.find_run(self.entries, key, environment, same_environment=same_environment)

    def publish_run(self, record: RunRecord, folder: Path, inputs: Json = None) -> RunRecord:
        """Store a finished run; gives its record with the paths of its entry.

        A folder inside the store is moved, another one copied. When another process published the same run first, its
        record is given. `inputs` is what the run key is the digest of.

        Raises:
            StoreError: If the disk refuses, or the key is not the digest of the inputs.
        """
        return runs.publish_run(self.entries, record, folder, inputs)

    def runs(self) -> Iterator[RunRecord]:
        """Every stored run, newest first."""
        return runs.all_runs(self.entries)

    @contextmanager
    def work(
        self,
        key: str,
        environment: Environment,
        *,
        timeout_seconds: float | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> Iterator[Path]:
        """The folder of an unfinished training, held for as long as the context lasts.

        It survives kill -9, and the next owner resumes in it. It is deleted when its run is published.

        Raises:
            StoreError: If it is not free within the timeout, or the disk refuses.
        """
        name = EntryName(kind="runs", key=key, environment=environment_digest(environment))
        folder = self.root / "work" / f"{key}-{name.environment}"
        with self.lock(f"work-{folder.name}", timeout_seconds=timeout_seconds, on_wait=on_wait):
            with disk_errors(self.root, f"opening work/{folder.name[:12]}"):
                make_root(self.root)
                folder.mkdir(parents=True, exist_ok=True)
                os.utime(folder)
            yield folder
            if (self.root / name.relative).is_dir():
                remove_tree(folder)

    def forget_run(self, key: str, environment: Environment) -> None:
        """Delete the run of a key and environment, so that it can be trained and published again.

        Raises:
            StoreError: If the disk refuses.
        """
        name = EntryName(kind="runs", key=key, environment=environment_digest(environment))
        with disk_errors(self.root, f"deleting {name}"):
            self.entries.remove(name)

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """An empty folder of one's own on the disk of the store, for what is published next; deleted at the end.

        Raises:
            StoreError: If the disk refuses.
        """
        folder = self.root / "tmp" / unique_name(name[:12])
        with disk_errors(self.root, "making a scratch folder"):
            make_root(self.root)
            folder.mkdir()
        try:
            yield folder
        finally:
            remove_tree(folder)

    # Predictions and scores

    def predictions(self, key: str, inputs: Json = None) -> PredictionSet:
        """The predicted rows of one checkpoint asked in one way; empty when there are none yet."""
        EntryName(kind="scores", key=key)  # refuses what is no key
        return PredictionSet(self.root, key, inputs, self.entries.notes.append, refuse=self.entries.refuse_foreign)

    def read_score(self, key: str) -> StoredScore | None:
        """The score of a key; None when it must be measured.

        Raises:
            StoreError: If a newer slmcheck wrote it, or the disk refuses.
        """
        return scores.read_score(self.entries, key)

    def score_keys(self) -> Iterator[str]:
        """The keys of all stored scores, in no particular order; in a release without those of pull requests."""
        names = self.entries.names("scores")
        return (name.key for name in names if not self.entries.is_release or self.entries.find_allowed(name))

    def write_score(self, key: str, score: StoredScore, inputs: Json = None) -> None:
        """Store a score; the first one of a key stays.

        Raises:
            StoreError: If the disk refuses.
        """
        scores.write_score(self.entries, key, score, inputs)

    # Exports, bases, findings

    def find_export(self, key: str) -> Path | None:
        """The folder of an exported model."""
        return self._find_folder("exports", key)

    def publish_export(self, key: str, folder: Path, inputs: Json = None) -> Path:
        """Store an exported model; gives its folder in the store."""
        return self.entries.publish_folder(EntryName(kind="exports", key=key), folder, inputs).folder

    def find_base(self, key: str) -> Path | None:
        """The folder of what was made of a base model."""
        return self._find_folder("bases", key)

    def publish_base(self, key: str, folder: Path, inputs: Json = None) -> Path:
        """Store what was made of a base model; gives its folder in the store."""
        return self.entries.publish_folder(EntryName(kind="bases", key=key), folder, inputs).folder

    def read_findings(self, key: str) -> Json | None:
        """The JSON value that was stored under a key; None when there is none."""
        name = EntryName(kind="findings", key=key)
        entry = self.entries.find(name)
        if entry is None:
            return None
        try:
            value: Json = json.loads((entry.folder / _DOCUMENT).read_bytes())
        except (FileNotFoundError, ValueError) as error:
            self.entries.quarantine(entry.folder, name, str(error))
            return None
        return value

    def write_findings(self, key: str, value: Json, inputs: Json = None) -> None:
        """Store a JSON value; the first one of a key stays.

        Raises:
            StoreError: If the disk refuses.
        """
        text = json.dumps(value, indent=1).encode()
        self.entries.publish(
            EntryName(kind="findings", key=key), lambda folder: _write(folder / _DOCUMENT, text), inputs
        )

    def read_evidence(self, key: str) -> Mapping[str, bytes] | None:
        """The files of which a verdict was judged, by name; None when there are none of that key.

        Raises:
            StoreError: If a newer slmcheck wrote them, or the disk refuses.
        """
        entry = self.entries.find(EntryName(kind="evidence", key=key))
        if entry is None:
            return None
        with disk_errors(self.root, f"reading evidence/{key[:12]}"):
            return {name: (entry.folder / name).read_bytes() for name in entry.manifest.files}

    def has_evidence(self, key: str) -> bool:
        """Whether the files of a verdict are there.

        Raises:
            StoreError: If a newer slmcheck wrote them, or the disk refuses.
        """
        return self.entries.find(EntryName(kind="evidence", key=key)) is not None

    def write_evidence(self, key: str, files: Mapping[str, bytes], inputs: Json = None) -> None:
        """Store the files of which a verdict was judged; the first ones of a key stay.

        Raises:
            StoreError: If the disk refuses.
        """

        def fill(folder: Path) -> None:
            for name, content in files.items():
                _write(folder / name, content)

        self.entries.publish(EntryName(kind="evidence", key=key), fill, inputs)

    # Files, locks, failures

    def file_digest(self, path: Path) -> str:
        """SHA-256 of a file, remembered by path, size, time and inode.

        Raises:
            FileNotFoundError: If there is no such file.
        """
        return self._index.digest_of(path)

    def lock(
        self,
        name: str,
        *,
        timeout_seconds: float | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> AbstractContextManager[None]:
        """Hold a lock of the store while work is done that others would do twice; never re-entrant.

        Raises:
            StoreError: If it is not free within the timeout.
        """
        return locks.hold(self.root / "locks", name, timeout_seconds=timeout_seconds, on_wait=on_wait)

    def slot(
        self,
        device: str,
        threads: int = 1,
        *,
        timeout_seconds: float | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> AbstractContextManager[str]:
        """Hold one of the machine's slots for heavy work: cores / threads of them on a CPU, one on a GPU.

        Raises:
            StoreError: If none is free within the timeout.
        """
        names = locks.slot_names(device, threads)
        return locks.hold_any(self.root / "locks", names, timeout_seconds=timeout_seconds, on_wait=on_wait)

    def record_failure(self, session: str, key: str, text: str) -> None:
        """Remember for this session that the work of a key failed, before anybody shows it."""
        self._failures.record(session, key, text)

    def claim_failure(self, session: str, key: str, text: str) -> bool:
        """Remember a failure for this session; True for the one caller that shall show it in full."""
        return self._failures.claim(session, key, text)

    def read_failure(self, session: str, key: str) -> str | None:
        """What was said when the work of a key failed in this session; None when it did not fail."""
        return self._failures.read(session, key)

    # Upkeep

    def gc(
        self,
        *,
        max_bytes: int | None = None,
        keep_days: float | None = 30.0,
        keep_runs: Iterable[str] = (),
        of_pull_requests: bool = False,
        dry_run: bool = False,
    ) -> upkeep.Collected:
        """Delete what was not used for `keep_days`, then the least recently used until `max_bytes` are left.

        The runs and checkpoints whose keys are in `keep_runs` (those that baselines reference), and what was made of
        them, stay. With `of_pull_requests` only what pull requests made is deleted, whatever its age.

        Raises:
            StoreError: If the clock of this machine is wrong, or the disk refuses.
        """
        return upkeep.collect(
            self.entries,
            max_bytes=max_bytes,
            keep_days=keep_days,
            keep_runs=keep_runs,
            of_pull_requests=of_pull_requests,
            dry_run=dry_run,
        )

    def check(self) -> upkeep.Verified:
        """Compare everything with its hashes, put damaged entries aside, and rebuild the index.

        Raises:
            StoreError: If a newer slmcheck wrote an entry, or the disk refuses.
        """
        self._index.rebuild()
        return upkeep.check_all(self.entries)

    def inputs_of(self, run_key: str) -> Json:
        """What a run key is the digest of; a prefix that only one run has is enough.

        Raises:
            UnknownRunError: If no run of the store has that key, or several do.
        """
        return runs.inputs_of(self.entries, run_key)

    def why(self, old_key: str, new_key: str, *, limit: int = 20) -> tuple[Difference, ...]:
        """The leaves in which the inputs of two stored runs differ, rows by their place and id.

        For a run that is not stored yet use `differences(store.inputs_of(old_key), inputs)`.

        Raises:
            UnknownRunError: If one of them is not in the store.
        """
        return differences(self.inputs_of(old_key), self.inputs_of(new_key), limit=limit)

    def export_runs(
        self, run_keys: Iterable[str], target: Path, *, checkpoint_keys: Iterable[str] = ()
    ) -> transfer.Carried:
        """Write runs, and the predictions, scores and exports made of them, to a tar file for another machine.

        What was made of the checkpoints in `checkpoint_keys`, those of base models, goes along.

        Raises:
            InputError: If a run is not in the store.
            StoreError: If the disk refuses.
        """
        return transfer.export_runs(self.entries, run_keys, target, checkpoint_keys=checkpoint_keys)

    def import_tar(self, source: Path) -> transfer.Carried:
        """Take over the entries of such a tar file, verified.

        Raises:
            InputError: If the file is missing or holds anything else than entries.
            StoreError: If an entry is damaged, or the disk refuses.
        """
        return transfer.import_tar(self.entries, source)

    def push(self, remote: Remote, keys: Iterable[str] | None = None, *, replaces: bool = False) -> travel.Moved:
        """Carry entries to a remote: those of the given runs and checkpoints of base models, or all.

        With `replaces` also what looks whole there.

        Raises:
            RemoteError: If the remote refuses or does not answer; what was carried over stays.
            StoreError: If the disk refuses.
        """
        return travel.push(self.entries, remote, keys, replaces=replaces)

    def pull(self, remote: Remote, keys: Iterable[str] | None = None, *, is_release: bool = False) -> travel.Moved:
        """Take over entries of a remote, verified; with `is_release` without those that pull requests made.

        Raises:
            RemoteError: If the remote refuses or does not answer; what was taken stays.
            StoreError: If the disk refuses.
        """
        return travel.pull(self.entries, remote, keys, is_release=is_release)

    def _find_folder(self, kind: EntryKind, key: str) -> Path | None:
        entry = self.entries.find(EntryName(kind=kind, key=key))
        return None if entry is None else entry.folder


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
