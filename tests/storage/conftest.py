"""A store in a temporary folder, and runs to put into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slmcheck.records import Checkpoint, DataSpec, Environment, Json, Recipe, RunRecord
from slmcheck.storage import Store, digest

CPU = Environment(versions={"torch": "2.13.0"})
CUDA = Environment(device="cuda", dtype="bfloat16", versions={"torch": "2.13.0"})

PublishRun = Callable[..., RunRecord]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "project" / ".slmcheck" / "store" / "v1")


@pytest.fixture
def cpu() -> Environment:
    return CPU


@pytest.fixture
def cuda() -> Environment:
    return CUDA


@pytest.fixture
def publish_run(store: Store) -> PublishRun:
    """Publish a small finished run: `publish_run(seed=1, environment=...)`."""

    def publish(
        *,
        seed: int = 0,
        environment: Environment = CPU,
        weights: bytes = b"w" * 300_000,
        into: Store | None = None,
    ) -> RunRecord:
        target = into or store
        inputs: Json = {"recipe": {"seed": seed}, "train": ["row a", "row b"]}
        key = digest("run", inputs)
        with target.work(key, environment) as work:
            folder = work / "publish"
            (folder / "adapter").mkdir(parents=True)
            (folder / "adapter" / "adapter_model.safetensors").write_bytes(weights)
            (folder / "history.jsonl").write_text("{}\n")
            record = RunRecord(
                name="spam/lora",
                key=key,
                recipe=Recipe(
                    name="spam/lora",
                    base_model="slmcheck/tiny",
                    task="classification",
                    trainer="lora",
                    data=DataSpec(train=("train.jsonl",)),
                    seed=seed,
                ),
                checkpoint=Checkpoint(
                    kind="adapter", path=folder / "adapter", key=digest("checkpoint", seed), base_model="slmcheck/tiny"
                ),
                environment=environment,
                directory=folder,
            )
            return target.publish_run(record, folder, inputs)

    return publish
