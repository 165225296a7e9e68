from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path

import pytest

from slmcheck.errors import StoreError
from slmcheck.records import Environment, PredictedRow
from slmcheck.storage import Store

KEY = "ab" + "1" * 62


def rows(*names: str, text: str = "spam") -> list[PredictedRow]:
    return [PredictedRow(row=name, text=text, option_scores=(-0.1, -2.5)) for name in names]


def shards(store: Store) -> list[Path]:
    return sorted((store.root / "predictions" / "ab" / KEY).glob("part-*.jsonl.gz"))


def test_rows_read_back_as_they_were(store: Store, cpu: Environment) -> None:
    written = [
        PredictedRow(
            row="r1",
            text='line\u2028separator "quoted" \ud800',
            option_scores=(-0.1, -1 / 3),
            option_probabilities=(0.9, 0.1),
            samples=("a", "b"),
        ),
        PredictedRow(row="r2", nll=12.345678901234567, tokens=3, bytes=9, words=2),
        PredictedRow(row="r3", text="", generated_tokens=0, finished=True),
    ]
    store.predictions(KEY, {"checkpoint": "c"}).add(written, cpu)
    assert store.predictions(KEY).read(cpu) == {row.row: row for row in written}


def test_a_new_set_is_empty_and_makes_nothing(store: Store, cpu: Environment) -> None:
    found = store.predictions(KEY)
    assert found.read(cpu) == {}
    assert found.environments == ()
    assert not store.root.exists()


def test_new_rows_add_a_shard_and_rewrite_nothing(store: Store, cpu: Environment) -> None:
    predictions = store.predictions(KEY)
    predictions.add(rows("r1", "r2"), cpu)
    before = {path: path.read_bytes() for path in shards(store)}
    predictions.add(rows("r3"), cpu)
    assert set(predictions.read(cpu)) == {"r1", "r2", "r3"}
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(shards(store)) == 2


def test_the_first_answer_of_an_environment_stays(store: Store, cpu: Environment) -> None:
    store.predictions(KEY).add(rows("r1", text="first"), cpu)
    store.predictions(KEY).add(rows("r1", text="second"), cpu)
    assert store.predictions(KEY).read(cpu)["r1"].text == "first"


def test_rows_of_the_own_environment_come_first_then_of_the_newest_other(
    store: Store, cpu: Environment, cuda: Environment
) -> None:
    older = dataclasses.replace(cpu, threads=7)
    predictions = store.predictions(KEY)
    predictions.add(rows("r1", "r2", "r3", text="older"), older)
    predictions.add(rows("r1", "r2", text="cuda"), cuda)
    predictions.add(rows("r1", text="cpu"), cpu)
    found = predictions.read(cpu)
    assert [found[name].text for name in ("r1", "r2", "r3")] == ["cpu", "cuda", "older"]
    assert predictions.environments == (cpu, cuda, older)
    assert predictions.made_in(["r1"], cpu) == (cpu,)
    assert predictions.made_in(["r1", "r2", "r3"], cpu) == (cpu, cuda, older)


def test_same_environment_makes_rows_of_another_one_absent(store: Store, cpu: Environment, cuda: Environment) -> None:
    predictions = store.predictions(KEY)
    predictions.add(rows("r1", "r2"), cuda)
    predictions.add(rows("r1"), cpu)
    assert set(predictions.read(cpu, same_environment=True)) == {"r1"}
    assert predictions.made_in(["r1", "r2"], cpu, same_environment=True) == (cpu,)


def test_rows_that_others_add_are_seen(store: Store, cpu: Environment) -> None:
    reader, writer = store.predictions(KEY), store.predictions(KEY)
    writer.add(rows("r1"), cpu)
    assert set(reader.read(cpu)) == {"r1"}
    writer.add(rows("r2"), cpu)
    assert set(reader.read(cpu)) == {"r1", "r2"}


def test_a_writer_stores_what_came_before_an_error(store: Store, cpu: Environment) -> None:
    def predict() -> None:
        with store.predictions(KEY).writer(cpu) as take:
            take(rows("r1"))
            take(rows("r2"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        predict()
    assert set(store.predictions(KEY).read(cpu)) == {"r1", "r2"}
    assert len(shards(store)) == 1


def test_a_writer_that_gets_nothing_writes_nothing(store: Store, cpu: Environment) -> None:
    with store.predictions(KEY).writer(cpu):
        pass
    assert shards(store) == []


@pytest.mark.parametrize("damage", ["truncated", "zeroed", "flipped", "empty"])
def test_a_damaged_shard_is_put_aside_and_its_rows_are_absent(store: Store, cpu: Environment, damage: str) -> None:
    store.predictions(KEY).add(rows("r1", "r2"), cpu)
    [path] = shards(store)
    store.predictions(KEY).add(rows("r3"), cpu)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(
        {"truncated": path.read_bytes()[:-4], "zeroed": b"\0" * len(content), "flipped": bytes(content), "empty": b""}[
            damage
        ]
    )
    assert set(store.predictions(KEY).read(cpu)) == {"r3"}
    assert not path.exists()
    assert "its rows are predicted again" in store.notes[0]
    store.predictions(KEY).add(rows("r1", "r2"), cpu)
    assert set(store.predictions(KEY).read(cpu)) == {"r1", "r2", "r3"}


def test_the_fingerprint_follows_the_answers_of_the_rows_asked_for(store: Store, cpu: Environment) -> None:
    predictions = store.predictions(KEY)
    predictions.add(rows("r1", "r2"), cpu)
    before = predictions.fingerprint(["r2", "r1"], cpu)
    assert before is not None
    predictions.add(rows("r3"), cpu)
    assert predictions.fingerprint(["r1", "r2"], cpu) == before
    assert predictions.fingerprint(["r1", "r3"], cpu) != before
    assert predictions.fingerprint(["r1", "r4"], cpu) is None


def test_the_inputs_are_kept_beside_the_shards(store: Store, cpu: Environment) -> None:
    store.predictions(KEY, {"checkpoint": "c1"}).add(rows("r1"), cpu)
    content = json.loads((store.root / "predictions" / "ab" / KEY / "inputs.json").read_text())
    assert content == {"schema": 1, "kind": "predictions", "key": KEY, "inputs": {"checkpoint": "c1"}}


def test_a_row_that_is_no_digest_is_refused(store: Store, cpu: Environment) -> None:
    with pytest.raises(ValueError, match="is no digest of a row"):
        store.predictions(KEY).add([PredictedRow(row='a"b')], cpu)


def _write_shard(store: Store, header: dict[str, object], line: str) -> None:
    import hashlib

    text = (json.dumps(header) + "\n" + line + "\n").encode()
    content = gzip.compress(text, mtime=0)
    folder = store.root / "predictions" / "ab" / KEY
    folder.mkdir(parents=True)
    (folder / f"part-{hashlib.sha256(content).hexdigest()[:32]}.jsonl.gz").write_bytes(content)


HEADER = {
    "schema": 1,
    "set": KEY,
    "created": "2026-01-02T03:04:05.000000+00:00",
    "rows": 1,
    "environment": {"device": "cuda", "dtype": "bfloat16", "threads": 1, "versions": {"torch": "2.13.0"}},
}


def test_a_shard_of_schema_1_is_read_as_it_was_written(store: Store, cuda: Environment) -> None:
    _write_shard(store, HEADER, '{"row":"r1","text":"ham","option_scores":[-0.5,-1.0],"finished":true}')
    assert store.predictions(KEY).read() == {
        "r1": PredictedRow(row="r1", text="ham", option_scores=(-0.5, -1.0), finished=True)
    }
    assert store.predictions(KEY).environments == (cuda,)


def test_a_shard_of_a_newer_slmcheck_is_refused_not_put_aside(store: Store, cpu: Environment) -> None:
    _write_shard(store, {**HEADER, "schema": 2}, '{"row":"r1"}')
    with pytest.raises(StoreError, match="written by a newer slmcheck: upgrade"):
        store.predictions(KEY).read(cpu)
    assert len(shards(store)) == 1


def test_a_field_that_is_not_known_is_said(store: Store, cpu: Environment) -> None:
    _write_shard(store, HEADER, '{"row":"r1","thoughts":"hm"}')
    with pytest.raises(StoreError, match="unknown fields: thoughts"):
        store.predictions(KEY).read(cpu)
