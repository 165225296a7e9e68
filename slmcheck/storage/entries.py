"""Immutable folders under a key, published whole and verified on every read.

The protocol: a unique temporary folder, every file synced, the manifest last, one rename into place. The first
publisher of a key wins and the others take its entry. No step needs a lock.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import slmcheck
from slmcheck.errors import OriginError, StoreError
from slmcheck.records import Json, from_json, to_json
from slmcheck.storage.canonical import canonical_json, digest
from slmcheck.storage.files import (
    disk_errors,
    files_below,
    host_name,
    remove_tree,
    sha256_of_file,
    sync_file,
    sync_folder,
    unique_name,
    write_synced,
    write_whole,
)
from slmcheck.storage.origin import Origin, may_read, this_origin

EntryKind = Literal["runs", "exports", "bases", "scores", "findings", "evidence"]
ENTRY_KINDS: tuple[EntryKind, ...] = ("runs", "exports", "bases", "scores", "findings", "evidence")
SCHEMA = 1
MANIFEST = "manifest.json"
_ALWAYS_HASHED_BYTES = 1 << 18
"""Small files are read whole by whoever asks, so their hash costs nothing more."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """What a manifest says of one file."""

    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an entry holds and what it was made of; written last, so its presence says that the entry is whole."""

    schema: int
    kind: str
    key: str
    environment: str | None
    """Digest of the environment, for runs."""
    inputs: Json
    """What the key is the digest of; `slmcheck cache why` compares these."""
    files: Mapping[str, StoredFile]
    created: str
    """UTC, ISO 8601."""
    host: str
    slmcheck: str
    origin: Origin | None = None
    """The CI job that made it; None where no CI service named itself."""
    check: str = ""
    """Digest of all the above, so that a damaged manifest is noticed."""


@dataclass(frozen=True, kw_only=True)
class EntryName:
    """Where an entry lies below the root of the store."""

    kind: EntryKind
    key: str
    environment: str | None = None

    def __post_init__(self) -> None:
        for part in (self.key, self.environment):
            if part is not None and not _NAME.fullmatch(part):
                raise StoreError(f"'{part}' is no key of the store: letters, digits, '_' and '-' only, 128 at most.")

    @property
    def relative(self) -> Path:
        """`<kind>/<first two digits>/<key>`, and the environment where the kind has one."""
        folder = Path(self.kind) / self.key[:2] / self.key
        return folder / self.environment if self.environment else folder

    def __str__(self) -> str:
        return f"{self.kind}/{self.key[:12]}"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry that was found whole."""

    name: EntryName
    folder: Path
    manifest: Manifest


@dataclass
class Entries:
    """The immutable entries of one store."""

    root: Path
    verify: bool = False
    """Whether reading an entry also compares the hash of every file."""
    notes: list[str] = field(default_factory=list)
    """What was damaged and is made again; for the report."""
    is_release: bool = False
    """Whether entries that a pull request made are refused."""
    origin: Origin | None = field(default_factory=this_origin)
    """The CI job of this process, recorded in every entry that it makes."""

    def find(self, name: EntryName, *, verify: bool | None = None) -> Entry | None:
        """The entry of that name, None when there is none; a damaged one is put aside and said.

        Raises:
            OriginError: If a pull request made it, and this is a release.
            StoreError: If a newer slmcheck wrote it, or the disk refuses.
        """
        folder = self.root / name.relative
        with disk_errors(self.root, f"reading {name}"):
            if not folder.is_dir():
                return None
            manifest, damage = self._inspect(folder, name, deep=self.verify if verify is None else verify)
            if manifest is None:
                self.quarantine(folder, name, damage)
                return None
        self.refuse_foreign(str(name), manifest.origin)
        # The time of the last use; a store that cannot be written is read without it.
        with suppress(OSError):
            os.utime(folder / MANIFEST)
        return Entry(name=name, folder=folder, manifest=manifest)

    def find_allowed(self, name: EntryName) -> Entry | None:
        """As `find`, but None for what a release refuses: for looking through many entries.

        Raises:
            StoreError: If a newer slmcheck wrote it, or the disk refuses.
        """
        try:
            return self.find(name)
        except OriginError:
            return None

    def refuse_foreign(self, what: str, made_by: Origin | None) -> None:
        """Refuse in a release what a pull request made.

        Raises:
            OriginError: If it did.
        """
        if self.is_release and not may_read(made_by, self.origin):
            raise OriginError(
                f"A release takes nothing that a pull request made, and {what} was made by {made_by}.\n"
                f"The store is {self.root}.\n"
                "A release needs entries that were trained, predicted and measured on the branch that is released.\n"
                "Delete those of pull requests (slmcheck cache gc --pull-requests), then make them again there."
            )

    def publish(self, name: EntryName, fill: Callable[[Path], None], inputs: Json) -> Entry:
        """Make an entry of what `fill` writes into the folder that it is given.

        Raises:
            StoreError: If the disk refuses; nothing half published is left.
        """
        with disk_errors(self.root, f"publishing {name}"):
            if existing := self.find(name):
                return existing
            unfinished = self._scratch() / unique_name(name.key[:12])
            try:
                unfinished.mkdir()
                fill(unfinished)
                self._seal(unfinished, name, inputs)
                return self._rename_into_place(unfinished, name)
            finally:
                remove_tree(unfinished)

    def publish_folder(self, name: EntryName, folder: Path, inputs: Json) -> Entry:
        """Make an entry of a folder: one inside the store is moved, another one is copied.

        Raises:
            StoreError: If the folder is missing or the disk refuses; the folder is then left where it was.
        """
        if not folder.is_dir():
            raise StoreError(f"'{folder}' cannot be published as {name}: there is no such folder.")
        if not folder.resolve().is_relative_to(self.root.resolve()):
            return self.publish(name, lambda target: _copy_into(folder, target), inputs)
        with disk_errors(self.root, f"publishing {name}"):
            if existing := self.find(name):
                remove_tree(folder)
                return existing
            unfinished = self._scratch() / unique_name(name.key[:12])
            # Taking the folder by a rename means that of two publishers of one folder only one goes on with it.
            os.rename(folder, unfinished)
            try:
                self._seal(unfinished, name, inputs)
                return self._rename_into_place(unfinished, name)
            except BaseException:
                (unfinished / MANIFEST).unlink(missing_ok=True)
                if unfinished.exists() and not folder.exists():
                    os.rename(unfinished, folder)
                raise
            finally:
                remove_tree(unfinished)

    def names(self, kind: EntryKind) -> Iterator[EntryName]:
        """The names of all entries of a kind, sorted; nothing is verified."""
        for folder in sorted((self.root / kind).glob("??/*")):
            if not _NAME.fullmatch(folder.name):
                continue
            if kind != "runs":
                yield EntryName(kind=kind, key=folder.name)
                continue
            for environment in sorted(folder.iterdir()):
                if environment.is_dir() and _NAME.fullmatch(environment.name):
                    yield EntryName(kind=kind, key=folder.name, environment=environment.name)

    def remove(self, name: EntryName) -> bool:
        """Move an entry away in one step, then delete it; False when there is none.

        Raises:
            OSError: If the disk refuses.
        """
        folder = self.root / name.relative
        target = self.root / "quarantine" / unique_name("removed")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(folder, target)
        except FileNotFoundError:
            return False
        remove_tree(target)
        with suppress(OSError):
            folder.parent.rmdir()  # only when it was the last one
        return True

    def quarantine(self, folder: Path, name: EntryName, damage: str) -> None:
        """Put a damaged entry aside, so that it is made again, and note it."""
        target = self.root / "quarantine" / unique_name(f"{name.kind}-{name.key[:12]}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, target)
        except FileNotFoundError:
            return  # somebody else put it aside or deleted it
        except OSError:
            # A store that cannot be written: a damaged entry still counts as absent.
            target = folder
        self.notes.append(f"{name} was damaged ({damage}); it is made again. The old files: {target}")

    def _inspect(self, folder: Path, name: EntryName, *, deep: bool) -> tuple[Manifest | None, str]:
        try:
            manifest = read_manifest(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None, "its manifest is missing"
        except ValueError as error:
            return None, str(error)
        if (manifest.kind, manifest.key, manifest.environment) != (name.kind, name.key, name.environment):
            return None, f"its manifest is of {manifest.kind}/{manifest.key[:12]}"
        for relative, expected in manifest.files.items():
            damage = damage_of(folder / relative, expected, deep=deep)
            if damage:
                return None, f"{relative} {damage}"
        return manifest, ""

    def _seal(self, folder: Path, name: EntryName, inputs: Json) -> None:
        files = {}
        for path in files_below(folder):
            if path.is_symlink():
                # A link leads out of the entry; the entry must hold what it points to.
                target = path.resolve(strict=True)
                path.unlink()
                shutil.copyfile(target, path)
            sync_file(path)
            files[path.relative_to(folder).as_posix()] = StoredFile(
                size=path.stat().st_size, sha256=sha256_of_file(path)
            )
        manifest = Manifest(
            schema=SCHEMA,
            kind=name.kind,
            key=name.key,
            environment=name.environment,
            inputs=inputs,
            files=files,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            host=host_name(),
            slmcheck=slmcheck.__version__,
            origin=self.origin,
        )
        write_whole(folder / MANIFEST, manifest_bytes(manifest), scratch=folder)
        for inner in {path.parent for path in files_below(folder)}:
            sync_folder(inner)

    def _rename_into_place(self, unfinished: Path, name: EntryName) -> Entry:
        final = self.root / name.relative
        for _ in range(2):
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(unfinished, final)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                sync_folder(final.parent)
                return Entry(name=name, folder=final, manifest=read_manifest(final))
            # Somebody else published this key first; take that entry unless it is damaged.
            if winner := self.find(name):
                return winner
        raise StoreError(
            f"{name} cannot be published: what lies there is damaged and cannot be put aside.\n"
            f"Delete it: rm -r '{final}'"
        )

    def _scratch(self) -> Path:
        return make_root(self.root) / "tmp"


def make_root(root: Path) -> Path:
    """Create the folder of a store on first use, hidden from git."""
    scratch = root / "tmp"
    if not scratch.is_dir():
        scratch.mkdir(parents=True, exist_ok=True)
        home = next((parent for parent in root.parents if parent.name == ".slmcheck"), root)
        if not (home / ".gitignore").exists():
            write_synced(
                home / ".gitignore", b"# Made by slmcheck: what it computes again is no part of a repository.\n*\n"
            )
    return root


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an entry.

    Raises:
        FileNotFoundError: If the entry has none.
        ValueError: If it is damaged.
        StoreError: If a newer slmcheck wrote it.
    """
    return manifest_of((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))


def manifest_of(content: bytes, shown: str = MANIFEST) -> Manifest:
    """The manifest in the bytes of its file.

    Raises:
        ValueError: If it is damaged.
        StoreError: If a newer slmcheck wrote it.
    """
    try:
        value = json.loads(content)
        schema, check = int(value["schema"]), value.pop("check")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("its manifest is no manifest") from error
    if schema > SCHEMA:
        raise StoreError(
            f"{shown} has schema {schema}; this slmcheck reads up to {SCHEMA}.\n"
            "It was written by a newer slmcheck: upgrade to read it, or set SLMCHECK_STORE to another folder."
        )
    if check != digest("manifest", value):
        raise ValueError("its manifest does not match its own digest")
    try:
        return from_json(Manifest, {**value, "check": check})
    except StoreError as error:
        raise ValueError(str(error)) from error


def manifest_bytes(manifest: Manifest) -> bytes:
    """The text of a manifest with its own digest."""
    value = to_json(manifest)
    del value["check"]
    if manifest.origin is None:
        del value["origin"]
    value["check"] = digest("manifest", value)
    canonical_json(value)  # refuses what could not be read back
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8", errors="surrogatepass")


def damage_of(path: Path, expected: StoredFile, *, deep: bool) -> str:
    """How a file differs from its manifest, in words; empty when it does not."""
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    if size != expected.size:
        return f"has {size} bytes instead of {expected.size}"
    if (deep or size <= _ALWAYS_HASHED_BYTES) and sha256_of_file(path) != expected.sha256:
        return "has other content than when it was published"
    return ""


def _copy_into(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)
