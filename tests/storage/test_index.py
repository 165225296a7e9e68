from __future__ import annotations

import hashlib
import os
import sqlite3
from pathlib import Path

import pytest

from slmcheck.storage import Store

OLD = 1_600_000_000


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    os.utime(path, (OLD, OLD))
    return path


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def forbid_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr("slmcheck.storage.index.sha256_of_file", refuse)


def test_a_file_is_hashed_once(store: Store, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.file_digest(weights) == sha(b"weights")
    forbid_hashing(monkeypatch)
    assert Store(store.root).file_digest(weights) == sha(b"weights")


def test_a_file_of_another_time_is_hashed_again(store: Store, weights: Path) -> None:
    store.file_digest(weights)
    weights.write_bytes(b"WEIGHTS")
    os.utime(weights, (OLD + 1, OLD + 1))
    assert store.file_digest(weights) == sha(b"WEIGHTS")


def test_a_replaced_file_of_equal_size_and_time_is_hashed_again(store: Store, weights: Path, tmp_path: Path) -> None:
    store.file_digest(weights)
    other = tmp_path / "other"
    other.write_bytes(b"WEIGHTS")
    os.utime(other, (OLD, OLD))
    other.rename(weights)
    assert store.file_digest(weights) == sha(b"WEIGHTS")


def test_a_file_that_was_just_written_is_not_remembered(store: Store, weights: Path) -> None:
    os.utime(weights)
    store.file_digest(weights)
    before = weights.stat()
    weights.write_bytes(b"WEIGHTS")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.file_digest(weights) == sha(b"WEIGHTS")


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_index_loses_nothing(store: Store, weights: Path, content: bytes) -> None:
    store.file_digest(weights)
    (store.root / "index.sqlite").write_bytes(content)
    assert store.file_digest(weights) == sha(b"weights")
    assert store.file_digest(weights) == sha(b"weights")
    with sqlite3.connect(store.root / "index.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_store_that_cannot_be_written_hashes_every_time(store: Store, weights: Path) -> None:
    (store.root.parent).mkdir(parents=True)
    store.root.write_text("a file where the folder should be")
    assert store.file_digest(weights) == sha(b"weights")


def test_a_missing_file_is_an_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.file_digest(tmp_path / "none")
