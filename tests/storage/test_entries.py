from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slmcheck.errors import StoreError
from slmcheck.storage import digest
from slmcheck.storage.entries import MANIFEST, SCHEMA, Entries, EntryName, read_manifest

NAME = EntryName(kind="exports", key="ab" + "0" * 62)
LARGE = 600_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte, where this machine lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def entries(tmp_path: Path) -> Entries:
    return Entries(root=tmp_path / "store")


def fill(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "large.bin").write_bytes(b"x" * LARGE)
    (folder / "small.txt").write_text("small")


def test_what_was_published_is_found(entries: Entries) -> None:
    published = entries.publish(NAME, fill, {"a": 1})
    found = entries.find(NAME)
    assert found is not None
    assert found.folder == published.folder == entries.root / "exports" / "ab" / NAME.key
    assert (found.folder / "small.txt").read_text() == "small"
    assert found.manifest.inputs == {"a": 1}
    assert {name: file.size for name, file in found.manifest.files.items()} == {
        "inner/large.bin": LARGE,
        "small.txt": 5,
    }


def test_nothing_is_found_and_nothing_made_in_an_empty_store(entries: Entries) -> None:
    assert entries.find(NAME) is None
    assert not entries.root.exists()


def test_the_first_publisher_wins(entries: Entries) -> None:
    entries.publish(NAME, fill, {})
    entries.publish(NAME, lambda folder: (folder / "other").write_text("late") and None, {})
    found = entries.find(NAME)
    assert found is not None
    assert "small.txt" in found.manifest.files
    assert list((entries.root / "tmp").iterdir()) == []


def test_a_publisher_that_is_overtaken_takes_the_entry_of_the_winner(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = Entries(root=entries.root)
    rename = os.rename

    def overtaken(source: Path, target: Path) -> None:
        if Path(target) == entries.root / NAME.relative and not Path(target).exists():
            monkeypatch.setattr("slmcheck.storage.entries.os.rename", rename)
            rival.publish(NAME, lambda folder: (folder / "rival.txt").write_text("first") and None, {})
        rename(source, target)

    monkeypatch.setattr("slmcheck.storage.entries.os.rename", overtaken)
    entry = entries.publish(NAME, fill, {})
    assert set(entry.manifest.files) == {"rival.txt"}
    assert list((entries.root / "tmp").iterdir()) == []


def test_a_failing_builder_leaves_nothing(entries: Entries) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        entries.publish(NAME, fail, {})
    assert entries.find(NAME) is None
    assert list((entries.root / "tmp").iterdir()) == []


def test_a_folder_outside_is_copied_and_one_inside_is_moved(entries: Entries, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    fill(outside)
    entries.publish_folder(NAME, outside, {})
    assert (outside / "small.txt").exists()
    inside = entries.root / "work" / "w"
    inside.mkdir(parents=True)
    fill(inside)
    other = EntryName(kind="exports", key="cd" + "0" * 62)
    assert (entries.publish_folder(other, inside, {}).folder / "small.txt").exists()
    assert not inside.exists()


def test_links_become_files(entries: Entries, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"weights")

    def link(folder: Path) -> None:
        (folder / "model.bin").symlink_to(tmp_path / "blob")

    folder = entries.publish(NAME, link, {}).folder
    (tmp_path / "blob").unlink()
    assert (folder / "model.bin").read_bytes() == b"weights"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def zero(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def delete(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, zero, flip, delete])
@pytest.mark.parametrize("file", ["small.txt", MANIFEST])
def test_a_damaged_small_file_is_always_noticed(entries: Entries, damage: Callable[[Path], None], file: str) -> None:
    folder = entries.publish(NAME, fill, {}).folder
    damage(folder / file)
    assert entries.find(NAME) is None
    assert not folder.exists()
    assert len(list((entries.root / "quarantine").iterdir())) == 1
    assert "exports/ab0000000000 was damaged" in entries.notes[0]
    assert "it is made again" in entries.notes[0]


@pytest.mark.parametrize("damage", [truncate, delete])
def test_the_size_of_a_large_file_is_always_verified(entries: Entries, damage: Callable[[Path], None]) -> None:
    folder = entries.publish(NAME, fill, {}).folder
    damage(folder / "inner" / "large.bin")
    assert entries.find(NAME) is None


@pytest.mark.parametrize("damage", [zero, flip])
def test_the_hash_of_a_large_file_is_verified_on_request(entries: Entries, damage: Callable[[Path], None]) -> None:
    folder = entries.publish(NAME, fill, {}).folder
    damage(folder / "inner" / "large.bin")
    assert entries.find(NAME) is not None
    assert Entries(root=entries.root, verify=True).find(NAME) is None
    assert entries.find(NAME) is None


def test_a_damaged_entry_is_published_again(entries: Entries) -> None:
    folder = entries.publish(NAME, fill, {}).folder
    truncate(folder / "small.txt")
    entries.publish(NAME, fill, {})
    found = entries.find(NAME)
    assert found is not None
    assert (found.folder / "small.txt").read_text() == "small"


def test_an_entry_without_a_manifest_is_no_entry(entries: Entries) -> None:
    (entries.root / NAME.relative).mkdir(parents=True)
    (entries.root / NAME.relative / "half").write_text("half")
    assert entries.find(NAME) is None
    assert "its manifest is missing" in entries.notes[0]


def test_an_entry_under_another_key_is_not_believed(entries: Entries) -> None:
    folder = entries.publish(NAME, fill, {}).folder
    other = EntryName(kind="exports", key="ab" + "1" * 62)
    shutil.copytree(folder, entries.root / other.relative)
    assert entries.find(other) is None
    assert entries.find(NAME) is not None


def test_use_is_stamped_for_gc(entries: Entries) -> None:
    folder = entries.publish(NAME, fill, {}).folder
    os.utime(folder / MANIFEST, (1, 1))
    entries.find(NAME)
    assert (folder / MANIFEST).stat().st_mtime > 1e9


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(entries: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("slmcheck.storage.files.os.fsync", refuse)
    with pytest.raises(StoreError, match=r"The disk is full\.\n"):
        entries.publish(NAME, fill, {})
    monkeypatch.undo()
    assert entries.find(NAME) is None
    assert list((entries.root / "tmp").iterdir()) == []


def test_a_disk_that_really_is_full_leaves_nothing_half_published(small_disk: Path) -> None:
    entries = Entries(root=small_disk / "store")

    def fill_disk(folder: Path) -> None:
        (folder / "large.bin").write_bytes(b"x" * 3_000_000)

    with pytest.raises(StoreError, match=r"The disk is full\.\n"):
        entries.publish(NAME, fill_disk, {})
    assert entries.find(NAME) is None
    assert [path for path in small_disk.rglob("*") if path.is_file() and path.name != ".gitignore"] == []
    entries.publish(NAME, lambda folder: (folder / "small.bin").write_bytes(b"x") and None, {})
    assert entries.find(NAME) is not None


def test_a_full_disk_leaves_the_finished_training_where_it_was(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = entries.root / "work" / "w" / "publish"
    folder.mkdir(parents=True)
    fill(folder)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("slmcheck.storage.entries.write_whole", refuse)
    with pytest.raises(StoreError, match="The disk is full"):
        entries.publish_folder(NAME, folder, {})
    monkeypatch.undo()
    assert (folder / "inner" / "large.bin").stat().st_size == LARGE
    assert entries.find(NAME) is None
    entries.publish_folder(NAME, folder, {})
    assert entries.find(NAME) is not None


def test_a_read_only_store_is_read_and_refuses_to_be_written(entries: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    entries.publish(NAME, fill, {})

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("utime", "rename", "mkdir"):
        monkeypatch.setattr(f"slmcheck.storage.entries.os.{name}", refuse)
    assert entries.find(NAME) is not None
    with pytest.raises(StoreError, match="The store cannot be written"):
        entries.publish(EntryName(kind="exports", key="ef" + "0" * 62), fill, {})


@pytest.mark.parametrize("key", ["../../etc", "a/b", "", ".hidden", "a" * 129, "a\n"])
def test_keys_never_lead_out_of_the_store(key: str) -> None:
    with pytest.raises(StoreError, match="is no key of the store"):
        EntryName(kind="exports", key=key)


def test_an_entry_of_a_newer_slmcheck_is_refused_not_deleted(entries: Entries) -> None:
    folder = entries.publish(NAME, fill, {}).folder
    value = json.loads((folder / MANIFEST).read_text())
    value["schema"] = SCHEMA + 1
    (folder / MANIFEST).write_text(json.dumps(value))
    with pytest.raises(StoreError, match="written by a newer slmcheck: upgrade"):
        entries.find(NAME)
    assert folder.exists()


def test_an_entry_of_schema_1_is_read_as_it_was_written(entries: Entries) -> None:
    # The bytes of schema 1, frozen: later versions must go on reading them.
    folder = entries.root / NAME.relative
    folder.mkdir(parents=True)
    (folder / "small.txt").write_text("small")
    value = {
        "schema": 1,
        "kind": "exports",
        "key": NAME.key,
        "environment": None,
        "inputs": {"precision": "int8", "rows": ["a", 1, 0.5, None]},
        "files": {
            "small.txt": {
                "size": 5,
                "sha256": hashlib.sha256(b"small").hexdigest(),
            }
        },
        "created": "2026-01-02T03:04:05.678+00:00",
        "host": "machine",
        "slmcheck": "0.1.0",
    }
    (folder / MANIFEST).write_text(json.dumps({**value, "check": digest("manifest", value)}))  # type: ignore[arg-type]
    entry = entries.find(NAME)
    assert entry is not None
    assert entry.manifest.inputs == {"precision": "int8", "rows": ["a", 1, 0.5, None]}
    assert read_manifest(folder).created == "2026-01-02T03:04:05.678+00:00"
