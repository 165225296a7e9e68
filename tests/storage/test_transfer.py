from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slmcheck.errors import InputError, StoreError
from slmcheck.records import Environment, PredictedRow, RunRecord
from slmcheck.storage import Store, StoredScore, digest, key_of_runs

PublishRun = Callable[..., RunRecord]


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(tmp_path / "other" / "store")


def measured(store: Store, checkpoint_key: str, environment: Environment) -> tuple[str, str]:
    inputs = {"checkpoint": checkpoint_key}
    predictions = digest("predictions", inputs)
    store.predictions(predictions, inputs).add([PredictedRow(row="r1", text="spam")], environment)
    score_inputs = {"predictions": predictions}
    score = digest("score", score_inputs)
    stored = StoredScore(ids=("a",), columns=("sum", "count"), statistics=np.ones((1, 2)), value=1.0)
    store.write_score(score, stored, score_inputs)
    return predictions, score


def test_a_run_travels_with_all_that_was_made_of_it(
    store: Store, other: Store, publish_run: PublishRun, cpu: Environment, tmp_path: Path
) -> None:
    record, stays = publish_run(seed=1), publish_run(seed=2)
    predictions, score = measured(store, record.checkpoint.key, cpu)
    measured(store, stays.checkpoint.key, cpu)
    carried = store.export_runs([record.key], tmp_path / "cache.tar")
    assert len(carried.entries) == 3
    assert other.import_tar(tmp_path / "cache.tar").already_there == 0
    found = other.find_run(record.key, cpu)
    assert found is not None
    assert (found.checkpoint.path / "adapter_model.safetensors").stat().st_size == 300_000
    assert set(other.predictions(predictions).read(cpu)) == {"r1"}
    assert other.read_score(score) is not None
    assert other.find_run(stays.key, cpu) is None
    assert other.check().damaged == ()


def test_predictions_of_a_base_model_travel_when_they_are_named(
    store: Store, other: Store, publish_run: PublishRun, cpu: Environment, tmp_path: Path
) -> None:
    record = publish_run()
    predictions, _ = measured(store, "base-model-key", cpu)
    store.export_runs([record.key], tmp_path / "without.tar")
    store.export_runs([record.key], tmp_path / "with.tar", checkpoint_keys=["base-model-key"])
    other.import_tar(tmp_path / "without.tar")
    assert other.predictions(predictions).read(cpu) == {}
    other.import_tar(tmp_path / "with.tar")
    assert set(other.predictions(predictions).read(cpu)) == {"r1"}


def test_importing_twice_changes_nothing(
    store: Store, other: Store, publish_run: PublishRun, cpu: Environment, tmp_path: Path
) -> None:
    record = publish_run()
    measured(store, record.checkpoint.key, cpu)
    store.export_runs([record.key], tmp_path / "cache.tar")
    other.import_tar(tmp_path / "cache.tar")
    before = {path: path.read_bytes() for path in other.root.rglob("*") if path.is_file()}
    assert other.import_tar(tmp_path / "cache.tar").already_there == 3
    assert {path: path.read_bytes() for path in other.root.rglob("*") if path.is_file()} == before


def test_a_run_that_is_not_there_cannot_be_exported(store: Store, publish_run: PublishRun, tmp_path: Path) -> None:
    record = publish_run()
    with pytest.raises(InputError, match=r"1 of 2 runs are not in the store .*: feedfeedfeed"):
        store.export_runs([record.key, "feedfeedfeedfeed"], tmp_path / "cache.tar")
    assert not (tmp_path / "cache.tar").exists()


def rewritten(source: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(source) as archive:
        members = [(member, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]
    with tarfile.open(source, "w") as archive:
        for member, content in members:
            member, content = change(member, content)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    "name",
    [
        "../../escape",
        "/etc/passwd",
        "runs/ab/../../../escape",
        "runs/ab/abc/env/../../../../../escape",
        "locks/x.lock",
        "runs/zz/abc/env/file",
        "predictions/ab/abc/./part",
    ],
)
def test_names_never_lead_out_of_the_store(
    store: Store, other: Store, publish_run: PublishRun, tmp_path: Path, name: str
) -> None:
    store.export_runs([publish_run().key], tmp_path / "cache.tar")

    def rename(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        member.name = name
        return member, content

    rewritten(tmp_path / "cache.tar", rename)
    with pytest.raises(InputError, match="which is no file of an entry"):
        other.import_tar(tmp_path / "cache.tar")
    assert [path for path in other.root.rglob("*") if path.is_file() and path.name != ".gitignore"] == []
    assert not (tmp_path / "escape").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_only_plain_files_are_taken(other: Store, tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("runs/ab/abc/env/link")
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "cache.tar", "w") as archive:
        archive.addfile(member)
    with pytest.raises(InputError, match="which is no file of an entry"):
        other.import_tar(tmp_path / "cache.tar")


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "run.json", "manifest.json"])
def test_a_changed_file_is_not_taken(
    store: Store, other: Store, publish_run: PublishRun, cpu: Environment, tmp_path: Path, file: str
) -> None:
    record = publish_run()
    store.export_runs([record.key], tmp_path / "cache.tar")

    def flip(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if member.name.endswith(file):
            content = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        return member, content

    rewritten(tmp_path / "cache.tar", flip)
    with pytest.raises(StoreError, match=r"The imported entry runs/.* is damaged"):
        other.import_tar(tmp_path / "cache.tar")
    assert other.find_run(record.key, cpu) is None


def test_a_file_that_the_manifest_does_not_list_is_not_taken(
    store: Store, other: Store, publish_run: PublishRun, tmp_path: Path
) -> None:
    record = publish_run()
    (record.directory / "payload.pkl").write_bytes(b"x")
    store.export_runs([record.key], tmp_path / "cache.tar")
    with pytest.raises(StoreError, match=r"holds payload\.pkl, which its manifest does not list"):
        other.import_tar(tmp_path / "cache.tar")


def test_a_changed_shard_is_not_taken(
    store: Store, other: Store, publish_run: PublishRun, cpu: Environment, tmp_path: Path
) -> None:
    record = publish_run()
    predictions, _ = measured(store, record.checkpoint.key, cpu)
    store.export_runs([record.key], tmp_path / "cache.tar")

    def cut(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        return member, content[:-1] if "part-" in member.name else content

    rewritten(tmp_path / "cache.tar", cut)
    with pytest.raises(StoreError, match=r"The imported predictions .* are damaged"):
        other.import_tar(tmp_path / "cache.tar")
    assert other.predictions(predictions).read(cpu) == {}


@pytest.mark.parametrize("content", [b"", b"no tar", b"\x1f\x8b broken"])
def test_a_file_that_is_no_tar_file_says_so(other: Store, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cache.tar").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a tar file"):
        other.import_tar(tmp_path / "cache.tar")


def test_a_cut_tar_file_takes_nothing_half(
    store: Store, other: Store, publish_run: PublishRun, cpu: Environment, tmp_path: Path
) -> None:
    record = publish_run()
    store.export_runs([record.key], tmp_path / "cache.tar")
    content = (tmp_path / "cache.tar").read_bytes()
    (tmp_path / "cache.tar").write_bytes(content[: len(content) // 2])
    with pytest.raises((InputError, StoreError)):
        other.import_tar(tmp_path / "cache.tar")
    assert other.find_run(record.key, cpu) is None


def test_a_missing_file_says_how_to_make_one(other: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"slmcheck cache export -o cache\.tar"):
        other.import_tar(tmp_path / "cache.tar")


def test_the_key_of_runs_does_not_depend_on_their_order() -> None:
    assert key_of_runs(["b", "a", "a"]) == key_of_runs(["a", "b"])
    assert key_of_runs(["a"]) != key_of_runs(["a", "b"])
