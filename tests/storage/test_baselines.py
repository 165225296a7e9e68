from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from slmcheck.errors import DataError, MissingBaselineError
from slmcheck.records import Environment
from slmcheck.storage import (
    AcceptedRegression,
    Baseline,
    BaselineHeader,
    BaselineScore,
    StoredScore,
    answer_hash,
    make_baseline,
    read_baseline,
    write_baseline,
)

IDS = ("a", "b", "c", "d")
CONFUSION = ("hit:ham", "hit:spam", "reference:ham", "reference:spam", "predicted:ham", "predicted:spam")


def evidence(statistics: object, columns: tuple[str, ...], **changes: object) -> StoredScore:
    values: dict[str, object] = {
        "ids": IDS,
        "columns": columns,
        "statistics": np.array(statistics, dtype=np.float64),
        "value": 0.75,
        "groups": ("g1", "g1", "g2", "g2"),
        "reference_hashes": ("h1", "h2", "h3", "h4"),
        "answers": ("spam", "ham", "", 'Grüße\u2028 "x"\n'),
    }
    return StoredScore(**{**values, **changes})  # type: ignore[arg-type]


ACCURACY = evidence([[1, 1], [0, 1], [1, 1], [1, 1]], ("sum", "count"))
F1 = evidence(
    [[0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 0], [1, 0, 1, 0, 1, 0], [1, 0, 1, 0, 1, 0]],
    CONFUSION,
    value=0.7333333333333334,
)
NLL = evidence(
    [[12.5, 7], [3.25, 2], [0.1 + 0.2, 1], [9.0, 4]], ("nll", "tokens"), answers=None, groups=None, value=4.02
)
ONNX = evidence([[1, 1], [1, 1], [1, 1], [0, 1]], ("sum", "count"))


def header(**changes: object) -> BaselineHeader:
    values: dict[str, object] = {
        "run": "spam/lora",
        "task": "classification",
        "run_key": "ab" * 32,
        "environment": Environment(versions={"torch": "2.13.0"}),
        "created": "2026-01-02T03:04:05+00:00",
        "git": {"commit": "0123abc"},
    }
    return BaselineHeader(**{**values, **changes})  # type: ignore[arg-type]


def accepted(metric: str, value: float, **changes: object) -> BaselineScore:
    return BaselineScore(metric=metric, value=value, n=0, unit="share", signature=f"{metric}|version:1", **changes)  # type: ignore[arg-type]


@pytest.fixture
def baseline() -> Baseline:
    return make_baseline(
        header(),
        [
            (accepted("accuracy", 0.75, low=0.3, high=0.95, seed_sd=0.004, seeds=3), ACCURACY),
            (accepted("f1", 0.7333333333333334), F1),
            (accepted("mcc", 0.5), F1),
            (accepted("perplexity", 4.02), NLL),
            (accepted("agreement", 0.75, variant="onnx:int8"), ONNX),
            (accepted("accuracy", 0.5, split="train"), evidence([[0, 1], [1, 1]], ("sum", "count"), **TRAIN)),
        ],
        slices={"a": ["short", "complaints"]},
    )


TRAIN: dict[str, object] = {
    "ids": ("t1", "t2"),
    "groups": None,
    "reference_hashes": ("x1", "x2"),
    "answers": ("ham", "ham"),
}


def written(baseline: Baseline, folder: Path) -> tuple[Path, Path]:
    write_baseline(baseline, folder, "lora")
    return folder / "lora.json", folder / "lora.examples.jsonl"


def same(first: StoredScore, second: StoredScore) -> bool:
    return (
        first.ids == second.ids
        and first.columns == second.columns
        and first.statistics.tobytes() == second.statistics.tobytes()
        and first.reference_hashes == second.reference_hashes
    )


def test_a_baseline_reads_back_to_the_last_digit(baseline: Baseline, tmp_path: Path) -> None:
    written(baseline, tmp_path)
    found = read_baseline(tmp_path, "lora")
    assert found.header.examples != ""
    assert dataclasses.replace(found.header, examples="") == dataclasses.replace(baseline.header, schema=2)
    assert found.examples == baseline.examples
    for metric, original in (("accuracy", ACCURACY), ("f1", F1), ("mcc", F1), ("perplexity", NLL)):
        score = found.find(metric)
        assert score is not None
        assert same(found.evidence(score), original)
    accuracy = found.find("accuracy")
    assert accuracy is not None
    assert found.evidence(accuracy).answers == ACCURACY.answers
    assert found.evidence(accuracy).groups == ACCURACY.groups
    assert (accuracy.low, accuracy.high, accuracy.seeds, accuracy.seed_sd, accuracy.n) == (0.3, 0.95, 3, 0.004, 4)


def test_scores_of_other_splits_and_variants_are_apart(baseline: Baseline, tmp_path: Path) -> None:
    written(baseline, tmp_path)
    found = read_baseline(tmp_path, "lora")
    train = found.find("accuracy", split="train")
    assert train is not None
    assert found.evidence(train).ids == ("t1", "t2")
    agreement = found.find("agreement", variant="onnx:int8")
    assert agreement is not None
    assert same(found.evidence(agreement), ONNX)
    assert found.find("agreement") is None
    assert found.find("bleu") is None


def test_the_files_are_sorted_text_one_line_an_example(baseline: Baseline, tmp_path: Path) -> None:
    _, lines = written(baseline, tmp_path)
    assert lines.read_bytes().split(b"\n")[0] == (
        b'{"id":"a","ref":"h1","answer":"spam","group":"g1","slices":["complaints","short"],'
        b'"stats":{"accuracy":1,"f1":{"hit:spam":1,"reference:spam":1,"predicted:spam":1},'
        b'"perplexity":{"nll":12.5,"tokens":7}}}'
    )
    text = lines.read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert [json.loads(line)["id"] for line in text[:-1].split("\n")] == [*IDS, *IDS, "t1", "t2"]


def test_equal_statistics_are_written_once(baseline: Baseline, tmp_path: Path) -> None:
    _, lines = written(baseline, tmp_path)
    assert b'"mcc"' not in lines.read_bytes()
    score = baseline.find("mcc")
    assert score is not None
    assert score.table == "f1"


def test_the_order_of_scores_and_examples_changes_no_byte(tmp_path: Path) -> None:
    order = np.array([2, 0, 3, 1])
    shuffled = dataclasses.replace(
        ACCURACY,
        ids=tuple(ACCURACY.ids[index] for index in order),
        statistics=ACCURACY.statistics[order],
        groups=tuple((ACCURACY.groups or ())[index] for index in order),
        reference_hashes=tuple((ACCURACY.reference_hashes or ())[index] for index in order),
        answers=tuple((ACCURACY.answers or ())[index] for index in order),
    )
    first = make_baseline(header(), [(accepted("accuracy", 0.75), ACCURACY), (accepted("f1", 0.7), F1)])
    second = make_baseline(header(), [(accepted("f1", 0.7), F1), (accepted("accuracy", 0.75), shuffled)])
    for path, other in zip(written(first, tmp_path / "1"), written(second, tmp_path / "2"), strict=True):
        assert path.read_bytes() == other.read_bytes()


def test_a_private_baseline_keeps_no_answer(tmp_path: Path) -> None:
    private = make_baseline(header(private=True), [(accepted("accuracy", 0.75), ACCURACY)])
    path, lines = written(private, tmp_path)
    for text in ("spam", "ham", "Grüße"):
        assert text.encode() not in lines.read_bytes()
    found = read_baseline(tmp_path, "lora")
    score = found.find("accuracy")
    assert score is not None
    assert found.evidence(score).answers == tuple(answer_hash(answer) for answer in ACCURACY.answers or ())
    assert found.evidence(score).extras == {"answers": "hashes"}
    assert path.exists()


def test_why_a_regression_was_accepted_is_kept(baseline: Baseline, tmp_path: Path) -> None:
    reason = AcceptedRegression(metric="f1", reason="two labels were merged", old=0.8, new=0.73, created="2026")
    written(dataclasses.replace(baseline, header=dataclasses.replace(baseline.header, regressions=(reason,))), tmp_path)
    assert read_baseline(tmp_path, "lora").header.regressions == (reason,)


def test_writing_touches_no_other_baseline(baseline: Baseline, tmp_path: Path) -> None:
    (tmp_path / "qlora.json").write_text("{}")
    (tmp_path / "lora.anchor.json").write_text("{}")
    written(baseline, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "lora.json",
        "lora.examples.jsonl",
        "qlora.json",
        "lora.anchor.json",
    }


def test_an_anchor_is_a_baseline_of_its_own(baseline: Baseline, tmp_path: Path) -> None:
    write_baseline(baseline, tmp_path, "lora.anchor")
    assert (tmp_path / "lora.anchor.json").exists()
    assert read_baseline(tmp_path, "lora.anchor").header.run == "spam/lora"


def test_a_missing_baseline_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingBaselineError, match=r"slmcheck baseline accept lora$"):
        read_baseline(tmp_path, "lora")
    with pytest.raises(MissingBaselineError, match=r"slmcheck baseline accept lora$"):
        read_baseline(tmp_path, "lora.anchor")


def test_missing_examples_are_said(baseline: Baseline, tmp_path: Path) -> None:
    _, lines = written(baseline, tmp_path)
    lines.unlink()
    with pytest.raises(DataError, match=r"lora\.examples\.jsonl is missing"):
        read_baseline(tmp_path, "lora")


def test_a_baseline_of_a_newer_slmcheck_is_refused(baseline: Baseline, tmp_path: Path) -> None:
    path, _ = written(baseline, tmp_path)
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 3'))
    with pytest.raises(DataError, match="has schema 3; this slmcheck reads up to 2"):
        read_baseline(tmp_path, "lora")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"schema": 1, "run": "x", ', r"lora\.json:1: the baseline is no JSON"),
        ("[]", "it has no schema number"),
        ('{"schema": 1, "run": "x", "colour": 1}', "unknown fields: colour"),
        ('{"schema": 1}', "is incomplete"),
    ],
)
def test_a_damaged_header_is_said(baseline: Baseline, tmp_path: Path, content: str, expected: str) -> None:
    path, _ = written(baseline, tmp_path)
    path.write_text(content)
    with pytest.raises(DataError, match=expected):
        read_baseline(tmp_path, "lora")


def test_a_lost_line_is_noticed(baseline: Baseline, tmp_path: Path) -> None:
    _, lines = written(baseline, tmp_path)
    content = lines.read_text().split("\n")
    lines.write_text("\n".join(content[1:]))
    with pytest.raises(DataError, match="accuracy was measured on 4 examples, 3 are there"):
        read_baseline(tmp_path, "lora")


def test_a_baseline_of_schema_1_is_read_as_it_was_written(tmp_path: Path) -> None:
    # The bytes of schema 1, frozen: later versions must go on reading committed baselines.
    (tmp_path / "lora.json").write_text(
        '{"schema": 1, "run": "spam/lora", "task": "classification", "run_key": "ab", "checkpoint_key": null,'
        ' "environment": {"device": "cuda", "dtype": "bfloat16", "threads": 1, "versions": {"torch": "2.13.0"}},'
        ' "created": "2026-01-02T03:04:05+00:00", "slmcheck": "0.1.0", "git": {}, "evaluation_digest": "ef",'
        ' "private": false, "regressions": [], "scores": [{"metric": "accuracy", "split": "test", "variant": "",'
        ' "value": 0.5, "low": 0.1, "high": 0.9, "n": 2, "unit": "share", "higher_is_better": true,'
        ' "signature": "accuracy|version:1", "seeds": 1, "seed_sd": null, "columns": ["sum", "count"],'
        ' "table": "accuracy"}]}'
    )
    (tmp_path / "lora.examples.jsonl").write_text(
        '{"id":"a","ref":"h1","answer":"spam","stats":{"accuracy":1}}\n'
        '{"id":"b","ref":"h2","answer":"ham","group":"g","slices":["short"],"stats":{"accuracy":0}}\n'
    )
    found = read_baseline(tmp_path, "lora")
    [score] = found.header.scores
    assert found.evidence(score).statistics.tolist() == [[1.0, 1.0], [0.0, 1.0]]
    assert found.examples[1].slices == ("short",)


def test_examples_that_git_merged_are_refused(baseline: Baseline, tmp_path: Path) -> None:
    _, lines = written(baseline, tmp_path)
    original = lines.read_bytes()
    versions = {
        "ours": original.replace(b'"ref":"h1"', b'"ref":"edited-1"'),
        "base": original,
        "theirs": original.replace(b'"ref":"x2"', b'"ref":"edited-2"'),
    }
    for name, content in versions.items():
        (tmp_path / name).write_bytes(content)
    merged = subprocess.run(
        ["git", "merge-file", "-p", "ours", "base", "theirs"], cwd=tmp_path, check=True, capture_output=True
    )
    assert b"<<<<<<<" not in merged.stdout
    lines.write_bytes(merged.stdout)
    # What git merged is what nobody accepted: it is refused until both sides are judged again.
    with pytest.raises(DataError, match="slmcheck baseline resolve"):
        read_baseline(tmp_path, "lora")
