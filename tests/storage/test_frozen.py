"""Files of every schema are opened by this version; those of a newer one are one clear error."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from slmcheck.errors import DataError, StoreError
from slmcheck.records import Environment, PredictedRow
from slmcheck.storage import BASELINE_SCHEMA, Store, digest, read_baseline
from slmcheck.storage.entries import MANIFEST, SCHEMA

FROZEN = Path(__file__).parent / "frozen"
RUN_KEY = "d7a62414ac762dce3332d1ca2ef229450292235d03d1a203e2521a7c69a48237"
SCORE_KEY = "14b3c5937579d5d161179af547f8e91322b66475ae47706bd335d44f2fb0e058"
SET_KEY = "750d50aa9d56d7c3e20a5bcce06c338992416b11a5a9337aa0b0f5c0a58b1da7"
CUDA = Environment(device="cuda", dtype="bfloat16", threads=2, versions={"torch": "2.13.0"})


@pytest.fixture
def v1(tmp_path: Path) -> Store:
    """A store of schema 1; reading one touches its files, so it is a copy."""
    return Store(shutil.copytree(FROZEN / "v1" / "store", tmp_path / "store"), verify=True)


def raise_schema(manifest: Path) -> None:
    value = json.loads(manifest.read_bytes())
    del value["check"]
    value["schema"] = SCHEMA + 1
    manifest.write_text(json.dumps({**value, "check": digest("manifest", value)}))


def test_every_schema_has_a_frozen_sample() -> None:
    # A schema that is raised without a sample could not be tested by the version after it.
    # Write the missing one with: python tests/storage/freeze.py tests
    found = {kind: {path.parent.name for path in FROZEN.glob(f"v*/{kind}")} for kind in ("store", "baselines")}
    assert found == {
        "store": {f"v{number}" for number in range(1, SCHEMA + 1)},
        "baselines": {f"v{number}" for number in range(1, BASELINE_SCHEMA + 1)},
    }


def test_a_run_of_schema_1_is_opened(v1: Store) -> None:
    record = v1.find_run(RUN_KEY, CUDA, same_environment=True)
    assert record is not None
    assert (record.name, record.key, record.environment) == ("spam/lora", RUN_KEY, CUDA)
    assert (record.recipe.learning_rate, record.recipe.seed, record.recipe.options) == (0.003, 7, {"r": 4})
    assert record.recipe.data.text_template == "{text}: {label}"
    assert [(point.step, point.train_loss, point.validation_loss) for point in record.history] == [
        (0, None, 2.5),
        (4, 1.5, 0.75),
    ]
    assert (record.best_step, record.last_step, record.stopped_early) == (4, 6, True)
    assert (record.resources.seconds, record.resources.peak_memory_bytes) == (12.5, 123_456_789)
    assert (record.checkpoint.path / "adapter_model.safetensors").read_bytes() == b"weights"


def test_the_inputs_of_a_run_of_schema_1_still_have_its_key(v1: Store) -> None:
    inputs = v1.inputs_of(RUN_KEY[:8])
    assert inputs == {"recipe": {"learning_rate": 0.003, "seed": 7}, "train": ["row a", "row b"]}
    assert digest("run", inputs) == RUN_KEY


def test_predictions_of_schema_1_are_opened(v1: Store) -> None:
    found = v1.predictions(SET_KEY)
    assert found.read(CUDA, same_environment=True) == {
        "r1": PredictedRow(row="r1", option_scores=(-0.5, -1.5), option_probabilities=(0.75, 0.25)),
        "r2": PredictedRow(row="r2", text="Grüße\u2028 now", finished=True),
        "r3": PredictedRow(row="r3", nll=12.25, tokens=7),
    }
    assert found.environments == (CUDA,)


def test_a_score_of_schema_1_is_opened(v1: Store) -> None:
    score = v1.read_score(SCORE_KEY)
    assert score is not None
    assert (score.ids, score.columns, score.value) == (("a", "b", "c"), ("sum", "count"), 2 / 3)
    assert score.statistics.tolist() == [[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]
    assert (score.groups, score.answers) == (("g", "g", "h"), ("spam", "spam", "Grüße\u2028"))
    assert (score.reference_hashes, score.extras) == (("h1", "h2", "h3"), {"signature": "accuracy|version:1"})


def test_a_store_of_schema_1_verifies(v1: Store) -> None:
    checked = v1.check()
    assert checked.damaged == ()
    assert v1.notes == ()


@pytest.mark.parametrize("schema", range(1, BASELINE_SCHEMA + 1))
def test_a_baseline_of_every_schema_is_opened(schema: int) -> None:
    found = read_baseline(FROZEN / f"v{schema}" / "baselines", "lora")
    assert (found.header.run, found.header.run_key, found.header.environment) == ("spam/lora", RUN_KEY, CUDA)
    score = found.find("accuracy")
    assert score is not None
    assert (score.value, score.low, score.high, score.n) == (2 / 3, 0.2, 0.95, 3)
    evidence = found.evidence(score)
    assert evidence.statistics.tolist() == [[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]
    assert evidence.answers == ("spam", "spam", "Grüße\u2028")
    assert found.examples[0].slices == ("short",)


@pytest.mark.parametrize("kind", ["runs", "scores"])
def test_an_entry_of_a_newer_schema_is_one_clear_error(kind: str, v1: Store) -> None:
    [manifest] = (v1.root / kind).rglob(MANIFEST)
    raise_schema(manifest)
    readers: dict[str, Callable[[], object]] = {
        "runs": lambda: v1.find_run(RUN_KEY, CUDA),
        "scores": lambda: v1.read_score(SCORE_KEY),
    }
    with pytest.raises(StoreError, match=f"has schema {SCHEMA + 1}; this slmcheck reads up to {SCHEMA}.\n.*upgrade"):
        readers[kind]()
    assert manifest.exists()


def test_predictions_of_a_newer_schema_are_one_clear_error(v1: Store) -> None:
    [shard] = (v1.root / "predictions").rglob("*.gz")
    header, *lines = gzip.decompress(shard.read_bytes()).split(b"\n")
    header = json.dumps({**json.loads(header), "schema": SCHEMA + 1}).encode()
    content = gzip.compress(b"\n".join([header, *lines]), mtime=0)
    shard.unlink()
    newer = shard.with_name(f"part-{hashlib.sha256(content).hexdigest()[:32]}.jsonl.gz")
    newer.write_bytes(content)
    with pytest.raises(StoreError, match=f"has schema {SCHEMA + 1}; this slmcheck reads up to {SCHEMA}.\n.*upgrade"):
        v1.predictions(SET_KEY).read(CUDA)
    assert newer.exists()


def test_a_baseline_of_a_newer_schema_is_one_clear_error(tmp_path: Path) -> None:
    folder = shutil.copytree(FROZEN / f"v{BASELINE_SCHEMA}" / "baselines", tmp_path / "baselines")
    header = json.loads((folder / "lora.json").read_bytes())
    (folder / "lora.json").write_text(json.dumps({**header, "schema": BASELINE_SCHEMA + 1, "colour": "of later"}))
    with pytest.raises(DataError, match=f"has schema {BASELINE_SCHEMA + 1}; this slmcheck reads up to .*\n.*upgrade"):
        read_baseline(folder, "lora")
