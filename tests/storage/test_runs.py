from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from slmcheck.errors import StoreError, UnknownRunError
from slmcheck.records import Environment, RunRecord
from slmcheck.storage import Store
from slmcheck.storage.entries import EntryName

PublishRun = Callable[..., RunRecord]


def test_a_published_run_is_found_with_paths_of_its_entry(
    store: Store, publish_run: PublishRun, cpu: Environment
) -> None:
    published = publish_run()
    found = store.find_run(published.key, cpu)
    assert found == published
    assert found.directory.is_relative_to(store.root / "runs")
    assert (found.checkpoint.path / "adapter_model.safetensors").stat().st_size == 300_000
    assert not found.made_elsewhere


def test_a_store_can_be_moved(store: Store, publish_run: PublishRun, cpu: Environment, tmp_path: Path) -> None:
    key = publish_run().key
    moved = store.root.rename(tmp_path / "moved")
    found = Store(moved).find_run(key, cpu)
    assert found is not None
    assert found.checkpoint.path.is_relative_to(moved)
    assert found.checkpoint.path.is_dir()


def test_the_run_of_another_environment_is_found_and_said(
    store: Store, publish_run: PublishRun, cpu: Environment, cuda: Environment
) -> None:
    key = publish_run(environment=cuda).key
    found = store.find_run(key, cpu)
    assert found is not None
    assert found.made_elsewhere
    assert found.environment == cuda


def test_the_own_environment_comes_before_a_newer_other_one(
    store: Store, publish_run: PublishRun, cpu: Environment, cuda: Environment
) -> None:
    key = publish_run(environment=cpu).key
    publish_run(environment=cuda)
    found = store.find_run(key, cpu)
    assert found is not None
    assert found.environment == cpu
    assert not found.made_elsewhere


def test_of_other_environments_the_newest_is_taken(
    store: Store, publish_run: PublishRun, cpu: Environment, cuda: Environment
) -> None:
    older = dataclasses.replace(cpu, versions={"torch": "2.12.0"})
    key = publish_run(environment=older).key
    publish_run(environment=cuda)
    found = store.find_run(key, cpu)
    assert found is not None
    assert found.environment == cuda


def test_same_environment_makes_the_run_of_another_one_a_miss(
    store: Store, publish_run: PublishRun, cpu: Environment, cuda: Environment
) -> None:
    key = publish_run(environment=cuda).key
    assert store.find_run(key, cpu, same_environment=True) is None
    assert store.find_run(key, cuda, same_environment=True) is not None


def test_a_damaged_run_counts_as_none_and_the_other_environment_steps_in(
    store: Store, publish_run: PublishRun, cpu: Environment, cuda: Environment
) -> None:
    own = publish_run(environment=cpu)
    publish_run(environment=cuda)
    (own.directory / "history.jsonl").write_bytes(b"\0")
    found = store.find_run(own.key, cpu)
    assert found is not None
    assert found.environment == cuda
    assert "history.jsonl has 1 bytes instead of 3" in store.notes[0]


def test_a_checkpoint_outside_the_entry_keeps_its_place(
    store: Store, publish_run: PublishRun, cpu: Environment, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "model"
    elsewhere.mkdir()
    folder = tmp_path / "out"
    folder.mkdir()
    template = publish_run()
    record = dataclasses.replace(
        template,
        key="pretrained-key",
        checkpoint=dataclasses.replace(template.checkpoint, path=elsewhere),
        directory=folder,
    )
    store.publish_run(record, folder)
    found = store.find_run("pretrained-key", cpu)
    assert found is not None
    assert found.checkpoint.path == elsewhere


def test_a_key_that_is_not_the_digest_of_its_inputs_is_refused(
    store: Store, publish_run: PublishRun, tmp_path: Path
) -> None:
    record = publish_run()
    with pytest.raises(StoreError, match="is not the digest of its inputs"):
        store.publish_run(record, tmp_path, {"other": "inputs"})


def test_a_run_of_schema_1_is_read_as_it_was_written(store: Store, cpu: Environment) -> None:
    # Fields that came later have defaults; a field may never change its meaning or vanish.
    text = (
        '{"name": "spam/lora", "key": "old-run", "recipe": {"name": "spam/lora", "path": null,'
        ' "base_model": "slmcheck/tiny", "task": "classification", "trainer": "lora",'
        ' "data": {"train": ["train.jsonl"], "validation": 0.15, "text_template": "{text}: {label}"}},'
        ' "checkpoint": {"kind": "adapter", "path": "adapter", "key": "c0ffee", "base_model": "slmcheck/tiny"},'
        ' "environment": {"device": "cuda", "dtype": "bfloat16", "threads": 1, "versions": {"torch": "2.13.0"}},'
        ' "directory": ".", "history": [{"step": 10, "epoch": 0.5, "train_loss": 2.0}], "best_step": 10}'
    )

    def fill(folder: Path) -> None:
        (folder / "run.json").write_text(text)
        (folder / "adapter").mkdir()
        (folder / "adapter" / "weights").write_bytes(b"w")

    store.entries.publish(EntryName(kind="runs", key="old-run", environment="0123456789abcdef"), fill, None)
    found = store.find_run("old-run", cpu)
    assert found is not None
    assert found.made_elsewhere
    assert (found.checkpoint.path / "weights").read_bytes() == b"w"
    assert found.history[0].train_loss == 2.0


def test_all_runs_come_newest_first(store: Store, publish_run: PublishRun) -> None:
    keys = [publish_run(seed=seed).key for seed in (1, 2, 3)]
    assert [record.key for record in store.runs()] == keys[::-1]


def test_inputs_of_a_run_are_kept_and_a_prefix_is_enough(store: Store, publish_run: PublishRun) -> None:
    key = publish_run(seed=7).key
    assert store.inputs_of(key[:10]) == {"recipe": {"seed": 7}, "train": ["row a", "row b"]}


def test_a_key_of_no_run_names_those_there_are(store: Store, publish_run: PublishRun) -> None:
    key = publish_run().key
    with pytest.raises(UnknownRunError, match=f"no run of the store has it.*\n.*\nIts runs: {key[:12]}"):
        store.inputs_of("ffffffff-none")


def test_a_forgotten_run_can_be_published_again(store: Store, publish_run: PublishRun, cpu: Environment) -> None:
    first = publish_run(weights=b"first")
    store.forget_run(first.key, cpu)
    assert store.find_run(first.key, cpu) is None
    store.forget_run(first.key, cpu)
    second = publish_run(weights=b"second")
    assert (second.checkpoint.path / "adapter_model.safetensors").read_bytes() == b"second"
