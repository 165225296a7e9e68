from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slmcheck.records import Environment, PredictedRow, RunRecord
from slmcheck.storage import Store, StoredScore, digest
from slmcheck.storage.files import host_name, unique_name

PublishRun = Callable[..., RunRecord]
DAY = 86400.0


def age(path: Path, days: float) -> None:
    """Make a path and all below it look as if they were last changed `days` ago."""
    when = time.time() - days * DAY
    for inner in [*path.rglob("*"), path]:
        os.utime(inner, (when, when))


def measured(store: Store, record: RunRecord, environment: Environment) -> tuple[str, str]:
    """Predictions of a run and a score of these; gives both keys."""
    inputs = {"checkpoint": record.checkpoint.key, "kind": "options"}
    predictions = digest("predictions", inputs)
    store.predictions(predictions, inputs).add([PredictedRow(row="r1", text="spam")], environment)
    score_inputs = {"predictions": predictions, "metric": "accuracy"}
    score = digest("score", score_inputs)
    stored = StoredScore(ids=("a",), columns=("sum", "count"), statistics=np.ones((1, 2)), value=1.0)
    store.write_score(score, stored, score_inputs)
    return predictions, score


def test_what_was_not_used_for_long_is_deleted(store: Store, publish_run: PublishRun, cpu: Environment) -> None:
    old, new = publish_run(seed=1), publish_run(seed=2)
    age(old.directory, 31)
    collected = store.gc()
    assert [name.split("/")[2] for name in collected.deleted] == [old.key]
    assert collected.freed_bytes > 300_000
    assert (collected.kept, collected.protected) == (1, 0)
    assert store.find_run(old.key, cpu) is None
    assert store.find_run(new.key, cpu) is not None


def test_the_least_recently_used_goes_first(store: Store, publish_run: PublishRun, cpu: Environment) -> None:
    runs = [publish_run(seed=seed) for seed in range(3)]
    for record, days in zip(runs, (3, 2, 1), strict=True):
        age(record.directory, days)
    store.find_run(runs[0].key, cpu)
    collected = store.gc(max_bytes=700_000)
    assert [name.split("/")[2] for name in collected.deleted] == [runs[1].key]
    assert collected.kept_bytes < 700_000


def test_a_dry_run_deletes_nothing(store: Store, publish_run: PublishRun) -> None:
    age(publish_run().directory, 31)
    assert len(store.gc(dry_run=True).deleted) == 1
    assert len(store.gc(dry_run=True).deleted) == 1


def test_what_baselines_reference_stays_with_all_that_was_made_of_it(
    store: Store, publish_run: PublishRun, cpu: Environment
) -> None:
    kept, dropped = publish_run(seed=1), publish_run(seed=2)
    kept_predictions, kept_score = measured(store, kept, cpu)
    dropped_predictions, dropped_score = measured(store, dropped, cpu)
    for kind in ("runs", "predictions", "scores"):
        age(store.root / kind, 400)
    collected = store.gc(max_bytes=0, keep_runs=[kept.key])
    assert collected.protected == collected.kept == 3
    assert store.find_run(kept.key, cpu) is not None
    assert set(store.predictions(kept_predictions).read(cpu)) == {"r1"}
    assert store.read_score(kept_score) is not None
    assert store.find_run(dropped.key, cpu) is None
    assert store.predictions(dropped_predictions).read(cpu) == {}
    assert store.read_score(dropped_score) is None


def test_files_that_vanish_meanwhile_are_no_error(
    store: Store, publish_run: PublishRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = publish_run(seed=1), publish_run(seed=2)
    age(store.root / "runs", 31)
    rename = os.rename

    def overtaken(source: Path, target: Path) -> None:
        if Path(source) == first.directory:
            shutil.rmtree(first.directory)
        rename(source, target)

    monkeypatch.setattr("slmcheck.storage.entries.os.rename", overtaken)
    assert [name.split("/")[2] for name in store.gc().deleted] == [second.key]


def test_a_run_that_is_being_trained_is_not_deleted(store: Store, publish_run: PublishRun, cpu: Environment) -> None:
    record = publish_run()
    age(record.directory, 31)
    with store.work(record.key, cpu):
        assert store.gc().deleted == ()


def test_unfinished_work_goes_after_fourteen_days(store: Store, cpu: Environment) -> None:
    with store.work("key", cpu) as work:
        (work / "checkpoint-10").mkdir()
        (work / "checkpoint-10" / "weights").write_bytes(b"w")
    age(work, 13)
    assert store.gc().deleted == ()
    age(work, 15)
    with store.work("key", cpu):
        age(work, 15)
        assert store.gc().deleted == ()
    age(work, 15)
    assert store.gc().deleted == (f"work/{work.name}",)
    assert not work.exists()


def test_scratch_folders_go_when_their_process_is_gone(store: Store) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = store.root / "tmp" / f"key.{host_name()}.{child.pid}.abcd"
    young = store.root / "tmp" / f"key.{host_name()}.{child.pid}.ef01"
    own = store.root / "tmp" / unique_name("key")
    foreign_old = store.root / "tmp" / "key.elsewhere.1.abcd"
    foreign_young = store.root / "tmp" / "key.elsewhere.1.ef01"
    for folder, days in ((dead, 0.1), (young, 0.0), (own, 9), (foreign_old, 2), (foreign_young, 0.5)):
        folder.mkdir(parents=True)
        (folder / "half").write_bytes(b"x")
        age(folder, days)
    store.gc()
    left = {path.name for path in (store.root / "tmp").iterdir()}
    assert left == {young.name, own.name, foreign_young.name}


def test_failures_and_quarantine_go_after_a_week(store: Store) -> None:
    store.claim_failure("session", "key", "text")
    (store.root / "quarantine" / "old").mkdir(parents=True)
    assert store.gc().deleted == ()
    age(store.root / "failed" / "session", 8)
    age(store.root / "quarantine" / "old", 8)
    assert store.gc().deleted == ("quarantine/old", "failed/session")


def test_an_empty_store_has_nothing_to_collect_or_check(store: Store) -> None:
    assert store.gc().deleted == ()
    assert store.check().whole == 0
    assert not store.root.exists()


def test_check_finds_what_reading_does_not(store: Store, publish_run: PublishRun, cpu: Environment) -> None:
    good, bad = publish_run(seed=1), publish_run(seed=2)
    measured(store, good, cpu)
    weights = bad.checkpoint.path / "adapter_model.safetensors"
    weights.write_bytes(b"W" + weights.read_bytes()[1:])
    assert store.find_run(bad.key, cpu) is not None
    verified = store.check()
    assert verified.whole == 3
    assert len(verified.damaged) == 1
    assert "adapter_model.safetensors has other content" in verified.damaged[0]
    assert store.find_run(bad.key, cpu) is None
    assert store.check().damaged == ()


def test_check_finds_damaged_shards(store: Store, publish_run: PublishRun, cpu: Environment) -> None:
    measured(store, publish_run(), cpu)
    [shard] = store.root.glob("predictions/*/*/part-*")
    shard.write_bytes(shard.read_bytes()[:-1])
    verified = store.check()
    assert verified.whole == 2
    assert len(verified.damaged) == 1


def test_check_rebuilds_the_index(store: Store, publish_run: PublishRun) -> None:
    publish_run()
    (store.root / "index.sqlite").write_bytes(b"damaged")
    store.check()
    assert not (store.root / "index.sqlite").exists()
