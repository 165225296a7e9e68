"""Folders and fsspec as remotes: what each operation gives, and what is said where one fails."""

from __future__ import annotations

import errno
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from slmcheck.errors import InputError, MissingExtraError, RemoteError
from slmcheck.storage.remote import CHUNK_BYTES, FolderRemote, FsspecRemote, Remote, remote_at, without_credentials

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(params=["folder", "fsspec"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    if request.param == "folder":
        (tmp_path / "share").mkdir()
        yield FolderRemote(tmp_path / "share")
        return
    name = uuid.uuid4().hex
    yield FsspecRemote(f"memory://{name}", "memory")
    files = fsspec.filesystem("memory")
    if files.exists(f"/{name}"):
        files.rm(f"/{name}", recursive=True)


def file_of(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "source"
    path.write_bytes(content)
    return path


def test_what_is_written_is_listed_and_read_from_any_place(remote: Remote, tmp_path: Path) -> None:
    content = os.urandom(CHUNK_BYTES + 1000)
    remote.write("a/b/one", file_of(tmp_path, content))
    remote.write("a/two", file_of(tmp_path, b""))
    assert dict(remote.sizes("a")) == {"a/b/one": len(content), "a/two": 0}
    assert dict(remote.sizes("nothing")) == {}
    assert b"".join(remote.read("a/b/one")) == content
    assert b"".join(remote.read("a/b/one", start=CHUNK_BYTES - 1)) == content[CHUNK_BYTES - 1 :]
    assert list(remote.read("a/two")) == []


def test_a_file_is_replaced_as_a_whole(remote: Remote, tmp_path: Path) -> None:
    remote.write("one", file_of(tmp_path, b"old and long"))
    remote.write("one", file_of(tmp_path, b"new"))
    assert b"".join(remote.read("one")) == b"new"
    assert dict(remote.sizes("")) == {"one": 3}


def test_a_file_that_is_not_there_is_no_failure_of_the_remote(remote: Remote) -> None:
    with pytest.raises(FileNotFoundError):
        list(remote.read("nothing"))


def test_a_share_that_is_not_mounted_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=r"There is no remote '.*share'"):
        FolderRemote(tmp_path / "share").sizes("")


class Failing(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """An object store whose every operation fails as it is told."""

    protocol = "failing"
    cachable = False
    error: Exception = OSError()

    def find(self, path: str, *_: object, **__: object) -> Mapping[str, object]:
        raise self.error

    def put_file(self, *_: object, **__: object) -> None:
        raise self.error

    def makedirs(self, *_: object, **__: object) -> None:
        """Object stores have no folders."""


fsspec.register_implementation("failing", Failing, clobber=True)

FAILURES = [
    (ConnectionError("Could not connect to the endpoint URL"), "cannot be reached: Could not connect"),
    (OSError(errno.ENOSPC, "No space left on device"), "is full: No space left on device"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "is full: Disk quota exceeded"),
    (RuntimeError("QuotaExceeded: the bucket holds 10 GB"), "is full: QuotaExceeded"),
    (PermissionError(errno.EACCES, "Access Denied"), "refused: Access Denied"),
    (RuntimeError("An error occurred (403) when calling the ListObjects operation"), "refused: An error occurred"),
    (RuntimeError("RequestTimeTooSkewed: the difference is too large"), "refused the time of this machine"),
    (RuntimeError(""), "cannot be reached: RuntimeError"),
    (OSError(errno.EIO, "https://me:secret@host/ said no"), "cannot be reached"),
]


@pytest.mark.parametrize(("error", "says"), FAILURES, ids=lambda value: str(value)[:24] or "empty")
@pytest.mark.parametrize("operation", ["sizes", "write"])
def test_each_failure_is_one_message(error: Exception, says: str, operation: str, tmp_path: Path) -> None:
    Failing.error = error
    remote = FsspecRemote("failing://bucket/folder", "failing")
    with pytest.raises(RemoteError) as caught:
        remote.sizes("") if operation == "sizes" else remote.write("a", file_of(tmp_path, b"x"))
    message = str(caught.value)
    assert says in message
    assert "secret" not in message
    assert len(message.splitlines()) <= 4


class Hanging(Failing):
    """An object store that does not answer before it is told to."""

    protocol = "hanging"
    answers = threading.Event()

    def find(self, path: str, *_: object, **__: object) -> Mapping[str, object]:
        self.answers.wait(60)
        return {}


fsspec.register_implementation("hanging", Hanging, clobber=True)


def test_a_remote_that_hangs_is_given_up() -> None:
    with pytest.raises(RemoteError, match=r"did not answer within 0\.05 seconds"):
        FsspecRemote("hanging://bucket", "hanging", 0.05).sizes("")
    Hanging.answers.set()


def test_a_disk_that_is_full_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "share").mkdir()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("slmcheck.storage.remote._write_all", full)
    with pytest.raises(RemoteError, match="is full"):
        FolderRemote(tmp_path / "share").write("a/b", file_of(tmp_path, b"x"))
    assert [path for path in (tmp_path / "share").rglob("*") if path.is_file()] == []


def test_a_listing_leaves_out_what_a_killed_push_left(tmp_path: Path) -> None:
    (tmp_path / "push.host.1.abc.unfinished").write_bytes(b"half")
    assert dict(FolderRemote(tmp_path).sizes("")) == {}


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "No remote is named"),
        ({"SLMCHECK_REMOTE": "  "}, "No remote is named"),
        ({"SLMCHECK_REMOTE": "nosuch://bucket"}, "is no address of a remote: Protocol not known: nosuch"),
        ({"SLMCHECK_REMOTE": "/x", "SLMCHECK_REMOTE_TIMEOUT": "soon"}, "SLMCHECK_REMOTE_TIMEOUT is 'soon'"),
        ({"SLMCHECK_REMOTE": "/x", "SLMCHECK_REMOTE_TIMEOUT": "-1"}, "SLMCHECK_REMOTE_TIMEOUT is '-1'"),
    ],
)
def test_an_address_of_no_use_is_refused(variables: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLMCHECK_REMOTE", "SLMCHECK_REMOTE_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=says):
        remote_at()


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingExtraError, match=r"library s3fs.*\nInstall it: pip install 'slmcheck\[remote\]'"):
        remote_at("s3://bucket/folder")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://key:secret@bucket/folder?token=secret", "s3://bucket/folder"),
        ("https://token@host/x", "https://host/x"),
        ("/srv/models", "/srv/models"),
    ],
)
def test_credentials_are_never_shown(address: str, shown: str) -> None:
    assert without_credentials(address) == shown
