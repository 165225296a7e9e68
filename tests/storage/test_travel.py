"""Entries on their way to a remote and back: verified, once, and nothing half."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from slmcheck.records import Environment, PredictedRow, RunRecord
from slmcheck.storage import Store
from slmcheck.storage.remote import FolderRemote
from slmcheck.storage.travel import HOME
from tests.storage.conftest import PublishRun
from tests.storage.test_origin import PULL_REQUEST, be, in_job  # noqa: F401  a fixture
from tests.storage.test_transfer import measured


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(tmp_path / "other" / "store")


@pytest.fixture
def remote(tmp_path: Path) -> FolderRemote:
    (tmp_path / "remote").mkdir()
    return FolderRemote(tmp_path / "remote")


@pytest.fixture
def run(store: Store, publish_run: PublishRun, cpu: Environment) -> RunRecord:
    """A run with predictions and a score; another run is in the store, too."""
    publish_run(seed=9)
    record = publish_run(seed=1)
    measured(store, record.checkpoint.key, cpu)
    return record


def test_a_run_travels_with_what_was_made_of_it_and_nothing_else(
    store: Store, other: Store, remote: FolderRemote, run: RunRecord, cpu: Environment
) -> None:
    pushed = store.push(remote, [run.key])
    assert len(pushed.moved) == 3
    pulled = other.pull(remote, [run.key])
    assert sorted(pulled.moved) == sorted(pushed.moved)
    assert pulled.damaged == pulled.missing == ()
    assert other.check().damaged == ()
    assert other.find_run(run.key, cpu) is not None
    assert sum(1 for _ in other.runs()) == 1


def test_everything_travels_on_request(store: Store, other: Store, remote: FolderRemote, run: RunRecord) -> None:
    assert len(store.push(remote).moved) == 4
    assert len(other.pull(remote).moved) == 4
    assert not any(path.name.startswith("pull-") for path in (other.root / "tmp").iterdir())


def test_what_is_there_is_not_carried_again(store: Store, other: Store, remote: FolderRemote, run: RunRecord) -> None:
    store.push(remote, [run.key])
    other.pull(remote, [run.key])
    before = {path: path.stat().st_mtime_ns for path in remote.folder.rglob("*") if path.is_file()}
    assert store.push(remote, [run.key]).size_bytes == 0
    again = other.pull(remote, [run.key])
    assert (again.moved, again.already_there, again.size_bytes) == ((), 3, 0)
    assert {path: path.stat().st_mtime_ns for path in remote.folder.rglob("*") if path.is_file()} == before


def test_two_stores_that_made_the_same_run_push_it_once(
    store: Store, other: Store, remote: FolderRemote, run: RunRecord, publish_run: PublishRun
) -> None:
    store.push(remote, [run.key])
    publish_run(seed=1, into=other)
    assert other.push(remote, [run.key]).moved == ()


def test_new_rows_are_carried_to_rows_that_are_there(
    store: Store, other: Store, remote: FolderRemote, run: RunRecord, cpu: Environment
) -> None:
    store.push(remote, [run.key])
    other.pull(remote, [run.key])
    key = next((store.root / "predictions").glob("??/*")).name
    store.predictions(key).add([PredictedRow(row="r2", text="ham")], cpu)
    assert store.push(remote, [run.key]).moved == (f"predictions/{key[:2]}/{key}",)
    other.pull(remote, [run.key])
    assert set(other.predictions(key).read(cpu)) == {"r1", "r2"}


def test_runs_that_the_source_lacks_are_named(store: Store, other: Store, remote: FolderRemote, run: RunRecord) -> None:
    store.push(remote, [run.key])
    assert other.pull(remote, [run.key, "f" * 64]).missing == ("f" * 64,)
    assert store.push(remote, ["f" * 64]).missing == ("f" * 64,)


def largest(remote: FolderRemote) -> Path:
    return max((remote.folder / HOME / "files").rglob("*"), key=lambda path: path.stat().st_size)


def manifest(remote: FolderRemote) -> Path:
    return next((remote.folder / HOME / "runs").rglob("manifest.json"))


def shard(remote: FolderRemote) -> Path:
    return next((remote.folder / HOME / "predictions").rglob("part-*"))


def inputs(remote: FolderRemote) -> Path:
    return next((remote.folder / HOME / "predictions").rglob("inputs.json"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def foreign(path: Path) -> None:
    path.write_text(json.dumps({"schema": 1, "key": "x"}))


DAMAGES = [
    (largest, truncate, "bytes instead of"),
    (largest, flip, "has other content than when it was published"),
    (largest, Path.unlink, "is missing"),
    (manifest, truncate, "manifest"),
    (manifest, flip, "manifest"),
    (manifest, foreign, "manifest"),
    (manifest, Path.unlink, "its manifest is missing"),
    (shard, truncate, "does not match its name"),
    (shard, flip, "does not match its name"),
    (inputs, truncate, "inputs.json is no JSON"),
    (inputs, foreign, "inputs.json is of other predictions"),
]


@pytest.mark.parametrize(("choose", "spoil", "says"), DAMAGES)
def test_a_damaged_entry_is_said_not_taken_and_mended_by_a_push(
    store: Store,
    other: Store,
    remote: FolderRemote,
    run: RunRecord,
    choose: Callable[[FolderRemote], Path],
    spoil: Callable[[Path], None],
    says: str,
) -> None:
    store.push(remote, [run.key])
    spoil(choose(remote))
    pulled = other.pull(remote, [run.key])
    (damage,) = pulled.damaged
    assert says in damage
    assert len(pulled.moved) >= 2
    assert other.check().damaged == ()
    # Sizes tell a plain push what is cut or missing; what keeps its size is replaced on request.
    assert store.push(remote, [run.key], replaces=spoil in (flip, foreign)).damaged == ()
    assert other.pull(remote, [run.key]).damaged == ()
    assert sum(1 for _ in other.runs()) == 1


@pytest.mark.parametrize("name", ["../../escape", "/etc/passwd", "a/../../b", "a//b", ""])
def test_names_of_a_manifest_never_lead_out_of_the_store(
    store: Store, other: Store, remote: FolderRemote, run: RunRecord, name: str, tmp_path: Path
) -> None:
    from slmcheck.storage.canonical import digest

    store.push(remote, [run.key])
    path = manifest(remote)
    value = json.loads(path.read_text())
    value["files"] = {name: next(iter(value["files"].values()))}
    del value["check"]
    value["check"] = digest("manifest", value)
    path.write_text(json.dumps(value))
    (damage,) = other.pull(remote, [run.key]).damaged
    assert "would lie outside the entry" in damage
    assert not (tmp_path / "escape").exists()


def test_what_is_no_entry_is_passed_over(store: Store, other: Store, remote: FolderRemote, run: RunRecord) -> None:
    store.push(remote, [run.key])
    for name in ("runs/zz/abc/env", "locks/ab/abc", "runs/ab/../../x"):
        folder = remote.folder / HOME / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").write_text("{}")
    assert other.pull(remote).damaged == ()


def test_an_interrupted_pull_goes_on_where_it_was(
    store: Store, other: Store, remote: FolderRemote, run: RunRecord, cpu: Environment
) -> None:
    store.push(remote, [run.key])
    blob = largest(remote)
    content = blob.read_bytes()
    (other.root / "tmp").mkdir(parents=True)
    (other.root / "tmp" / f"pull-{blob.name}.part").write_bytes(content[:200_000])
    pulled = other.pull(remote, [run.key])
    whole = sum(path.stat().st_size for path in (remote.folder / HOME / "files").rglob("*") if path.is_file())
    assert pulled.size_bytes < whole - 190_000
    assert other.find_run(run.key, cpu) is not None


def test_a_part_that_is_of_something_else_is_pulled_from_its_start(
    store: Store, other: Store, remote: FolderRemote, run: RunRecord
) -> None:
    store.push(remote, [run.key])
    (other.root / "tmp").mkdir(parents=True)
    (other.root / "tmp" / f"pull-{largest(remote).name}.part").write_bytes(b"x" * 1000)
    assert other.pull(remote, [run.key]).damaged == ()


def test_a_release_leaves_what_a_pull_request_made_and_a_push_from_the_branch_replaces_it(
    store: Store,
    other: Store,
    remote: FolderRemote,
    publish_run: PublishRun,
    cpu: Environment,
    in_job: pytest.MonkeyPatch,  # noqa: F811
    tmp_path: Path,
) -> None:
    be(in_job, PULL_REQUEST)
    theirs = Store(tmp_path / "theirs")
    key = publish_run(seed=1, into=theirs).key
    theirs.push(remote)
    for name in PULL_REQUEST:
        in_job.delenv(name)
    left = other.pull(remote, [key], is_release=True)
    assert left.moved == ()
    assert "made by refs/pull/12/merge" in left.refused[0]
    assert len(other.pull(remote, [key]).moved) == 1
    own = Store(store.root)
    publish_run(seed=1, into=own)
    assert len(own.push(remote, [key]).moved) == 1
    assert theirs.push(remote).moved == ()  # it does not replace the branch's entry again
    # A store that took the pull request's entry gets the branch's in its place.
    assert len(other.pull(remote, [key], is_release=True).moved) == 1
    assert Store(other.root, is_release=True).find_run(key, cpu) is not None


def test_an_entry_from_the_future_is_carried_and_said(
    store: Store, other: Store, remote: FolderRemote, publish_run: PublishRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime, tzinfo

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime(2099, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("slmcheck.storage.entries.datetime", Ahead)
    record = publish_run()
    monkeypatch.undo()
    (note,) = store.push(remote, [record.key]).notes
    assert "made at 2099-01-01" in note
    assert "the clock of one of both machines is wrong" in note
    pulled = other.pull(remote, [record.key])
    assert len(pulled.moved) == len(pulled.notes) == 1


def test_a_damaged_entry_of_the_own_store_is_not_pushed(store: Store, remote: FolderRemote, run: RunRecord) -> None:
    (run.directory / "adapter" / "adapter_model.safetensors").write_bytes(b"other")
    pushed = store.push(remote, [run.key])
    assert "adapter_model.safetensors has 5 bytes instead of 300000" in pushed.damaged[0]
    assert not list((remote.folder / HOME / "runs").rglob("manifest.json"))
