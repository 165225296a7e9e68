"""The overfitting gap, alone and beyond the base model's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from slmcheck.errors import ComparisonError
from slmcheck.gates import Change, gap, gap_record
from slmcheck.statistics import newcombe, normal_quantile, wilson


def train_ids(count: int) -> list[str]:
    return [f"train{i}" for i in range(count)]


def accuracy_gap(make: Any, train: int, evaluation: int, name: str = "lora", **source: Any) -> Any:
    return gap(
        make.rate(make.right(train, 400), name, ids=train_ids(400), **source),
        make.rate(make.right(evaluation, 500), name, **source),
    )


def test_the_gap_of_a_rate_is_a_difference_of_separate_samples(make: Any) -> None:
    score = accuracy_gap(make, 392, 430)
    assert score == pytest.approx(0.98 - 0.86)
    assert repr(score).startswith("lora.gap(accuracy) 0.12")
    assert (score.n, score.metric.higher_is_better, score.metric.unit) == (500, False, "share")
    z = normal_quantile(0.975)
    bounds = [tuple(float(bound) for bound in wilson(*item, z)) for item in ((392, 400), (430, 500))]
    assert score.interval == pytest.approx(newcombe(0.98, bounds[0], 0.86, bounds[1]))  # type: ignore[arg-type]


def test_the_gap_is_gated_from_above(make: Any) -> None:
    score = accuracy_gap(make, 392, 430)
    assert score <= 0.20
    assert not score <= 0.05
    assert (score <= 0.05).record.lines[0].startswith("FAIL  lora.gap(accuracy) 0.120 > 0.050, proven")
    with pytest.raises(ComparisonError, match="better when lower"):
        score >= 0.1  # noqa: B015


def test_the_gap_of_errors_has_the_same_size(make: Any) -> None:
    from dataclasses import replace

    wrong = replace(make.accuracy, name="error_rate", higher_is_better=False)
    rights = accuracy_gap(make, 392, 430)
    errors = gap(
        make.rate(~make.right(392, 400), metric=wrong, ids=train_ids(400)),
        make.rate(~make.right(430, 500), metric=wrong),
    )
    assert errors == pytest.approx(float(rights))
    assert errors.interval == pytest.approx(rights.interval)


def test_the_gap_of_perplexity_is_in_nats(make: Any) -> None:
    tokens = np.full(100, 50.0)
    train = make.documents(tokens * np.linspace(1.9, 2.1, 100), tokens)
    evaluation = make.documents(tokens * np.linspace(2.1, 2.3, 100), tokens)
    score = gap(train, evaluation)
    assert score == pytest.approx(0.2)
    assert score.metric.unit == "nats"
    assert score.interval == pytest.approx((0.2 - 0.0163, 0.2 + 0.0163), abs=5e-4)
    assert not score <= 0.15
    assert (score <= 0.15).record.lines[0].startswith("FAIL  lora.gap(perplexity) 0.2000 > 0.1500, proven")


def test_a_difference_of_gaps_is_paired_on_evaluation_and_separate_on_training(make: Any) -> None:
    run = accuracy_gap(make, 392, 430, "lora")
    base = accuracy_gap(make, 250, 300, "lora.base", run_key=None)
    change = run - base
    assert isinstance(change, Change)
    assert change == pytest.approx((0.98 - 0.86) - (0.625 - 0.6))
    record = (change <= 0.01).record
    new, old = make.right(430, 500).astype(float), make.right(300, 500).astype(float)
    paired = (new - old).var(ddof=1) / 500
    separate = 0.98 * 0.02 / 399 + 0.625 * 0.375 / 399
    error = math.sqrt(paired + separate)
    assert record.change_high - record.change_low == pytest.approx(2 * 1.6449 * error, rel=0.01)
    assert record.state == "fail"
    assert "training rows as separate samples, n=400 and 400" in record.lines[0]
    assert "no seed term" in record.lines[0]


def test_gaps_of_different_evaluation_rows_are_compared_unpaired(make: Any) -> None:
    run = accuracy_gap(make, 392, 430)
    other = gap(
        make.rate(make.right(392, 400), "old", ids=train_ids(400)),
        make.rate(make.right(430, 500), "old", ids=[f"o{i}" for i in range(500)]),
    )
    assert not (run - other <= 0.2).record.paired


def test_the_record_of_a_report_shows_all_three(make: Any) -> None:
    record = gap_record(accuracy_gap(make, 392, 430), accuracy_gap(make, 250, 300, "lora.base", run_key=None))
    assert (record.metric, record.train, record.evaluation) == ("accuracy", pytest.approx(0.98), pytest.approx(0.86))
    assert record.gap == pytest.approx(0.12)
    assert record.base_gap == pytest.approx(0.025)
    assert record.beyond_base == pytest.approx(0.095)
    assert record.low is not None
    assert record.high is not None
    assert record.beyond_base_low is not None
    assert record.beyond_base_high is not None
    assert record.low < 0.12 < record.high
    assert record.beyond_base_low < 0.095 < record.beyond_base_high
    assert gap_record(accuracy_gap(make, 392, 430)).beyond_base is None


def test_what_has_no_gap_is_refused(make: Any) -> None:
    score = make.rate(make.right(8, 10))
    with pytest.raises(ComparisonError, match="needs one metric"):
        gap(make.documents(np.array([1.0, 2.0]), np.array([1.0, 1.0])), score)
    with pytest.raises(ComparisonError, match="no per-example evidence"):
        gap(make.exact(1.0), make.exact(2.0))
    with pytest.raises(ComparisonError, match="is not a gap"):
        gap_record(score)
    with pytest.raises(ComparisonError, match="needs one metric"):
        gap(score, gap(score, score))
