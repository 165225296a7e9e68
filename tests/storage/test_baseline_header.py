from __future__ import annotations

import json
from pathlib import Path

import pytest

from slmcheck.errors import DataError, StoreError
from slmcheck.records import to_json
from slmcheck.storage import BaselineHeader, BaselineScore
from slmcheck.storage.baseline_header import (
    ATTRIBUTES,
    header_document,
    header_text,
    lines_digest,
    score_name,
    write_attributes,
)
from slmcheck.storage.baselines import read_header

SCORES = (
    BaselineScore(metric="accuracy", value=0.9, low=0.8, high=0.95, n=60, columns=("sum", "count"), table="accuracy"),
    BaselineScore(metric="accuracy", split="train", value=1.0, n=40, seeds=3, seed_sd=0.01),
    BaselineScore(metric="accuracy", variant="onnx:int8", value=0.88, n=60),
)
HEADER = BaselineHeader(schema=2, run="tone/lora", task="classification", run_key="ab" * 32, by="Ann", scores=SCORES)


def test_a_header_reads_back() -> None:
    text = header_text(to_json(HEADER))
    assert read_header(Path("lora.json"), text.encode()) == HEADER


def test_two_runs_differ_in_one_line_that_names_them() -> None:
    other = BaselineHeader(
        schema=2, run="tone/lora", task="classification", run_key="cd" * 32, by="Bob",
        scores=tuple(BaselineScore(**{**to_json(score), "value": 0.5, "columns": score.columns}) for score in SCORES),
    )  # fmt: skip
    first, second = (header_text(to_json(header)).splitlines() for header in (HEADER, other))
    changed = [(one, two) for one, two in zip(first, second, strict=True) if one != two]
    assert len(changed) == 1
    assert "ab" * 32 in changed[0][0]
    assert "cd" * 32 in changed[0][1]


def test_scores_of_splits_and_variants_have_names_of_their_own() -> None:
    assert [score_name(to_json(score)) for score in SCORES] == ["accuracy", "accuracy|train", "accuracy|test|onnx:int8"]


@pytest.mark.parametrize(
    "change",
    [
        {"accepted": None},
        {"accepted": {"scores": {}}},
        {"accepted": {"scores": {"accuracy": [1]}}},
        {"scores": []},
        {"scores": ["accuracy"]},
    ],
)
def test_a_header_without_the_values_of_its_scores_is_refused(change: dict[str, object]) -> None:
    value = {**json.loads(header_text(to_json(HEADER))), **change}
    with pytest.raises(StoreError):
        header_document(value)
    with pytest.raises(DataError, match=r"lora\.json is damaged"):
        read_header(Path("lora.json"), json.dumps(value).encode())


def test_the_digest_of_examples_does_not_depend_on_line_ends() -> None:
    assert lines_digest(b'{"id":"a"}\r\n') == lines_digest(b'{"id":"a"}\n')
    assert lines_digest(b'{"id":"a"}\n') != lines_digest(b'{"id":"b"}\n')


def test_attributes_are_added_once_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / ".gitattributes").write_text("*.json text")
    for _ in range(2):
        write_attributes(tmp_path)
    lines = (tmp_path / ".gitattributes").read_text().splitlines()
    assert lines[0] == "*.json text"
    assert lines.count(ATTRIBUTES) == 1
