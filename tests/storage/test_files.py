from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from slmcheck.errors import StoreError
from slmcheck.storage.files import (
    disk_errors,
    host_name,
    owner_of,
    remove_tree,
    sha256_of_file,
    size_below,
    unique_name,
    write_whole,
)


def test_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "weights").write_bytes(content)
    assert sha256_of_file(tmp_path / "weights") == hashlib.sha256(content).hexdigest()


def test_a_unique_name_says_whose_it_is() -> None:
    name = unique_name("abc.def")
    assert owner_of(name) == (host_name(), os.getpid())
    assert unique_name("abc.def") != name


@pytest.mark.parametrize("name", ["abc", "a.b.c", "a.host.12x.ff"])
def test_other_names_have_no_owner(name: str) -> None:
    assert owner_of(name) is None


def test_a_file_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("slmcheck.storage.files.os.fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new", scratch=tmp_path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, "The disk is full.\n"),
        (errno.EDQUOT, "The disk is full.\n"),
        (errno.EROFS, "The store cannot be written: "),
        (errno.EACCES, "chmod -R u+w '/store'"),
        (errno.EIO, "slmcheck cache verify"),
    ],
)
def test_disk_errors_say_what_to_do(number: int, expected: str) -> None:
    with (
        pytest.raises(StoreError, match="publishing runs/1 in /store") as caught,
        disk_errors(Path("/store"), "publishing runs/1"),
    ):
        raise OSError(number, os.strerror(number))
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 4


def test_size_and_removal_tolerate_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"12345")
    (tmp_path / "a" / "dangling").symlink_to(tmp_path / "nowhere")
    assert size_below(tmp_path / "a") == 5
    remove_tree(tmp_path / "a")
    remove_tree(tmp_path / "a")
    assert not (tmp_path / "a").exists()
