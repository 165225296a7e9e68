"""The mean score of several seeds."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pytest

from slmcheck.errors import ComparisonError
from slmcheck.gates import gap, mean_of_seeds


def seeds_of(make: Any, count: int) -> list[Any]:
    rng = np.random.default_rng(0)
    hard = rng.random(300)
    return [make.rate(rng.random(300) < 1.0 - 0.5 * hard, f"lora-{seed}") for seed in range(count)]


def test_value_and_evidence_are_means(make: Any) -> None:
    scores = seeds_of(make, 4)
    score = mean_of_seeds(scores)
    assert score == pytest.approx(np.mean([float(item) for item in scores]))
    assert score.source.seeds == 4
    assert score.source.seed_sd == pytest.approx(statistics.stdev(float(item) for item in scores))
    assert (score.source.name, score.source.run_key) == ("lora-0", "lora-0")
    assert score.evidence is not None
    assert score.evidence.value == pytest.approx(float(score))
    assert score.evidence.binary is None


def test_its_interval_is_influence_t_over_examples(make: Any) -> None:
    scores = seeds_of(make, 3)
    score = mean_of_seeds(scores)
    per_example = np.mean([item.evidence.statistics[:, 0] for item in scores], axis=0)
    half = 1.96790 * per_example.std(ddof=1) / np.sqrt(300)
    assert score.interval == pytest.approx((float(score) - half, float(score) + half), abs=1e-5)


def test_it_is_compared_with_its_measured_sd(make: Any) -> None:
    new, old = mean_of_seeds(seeds_of(make, 3)), make.rate(make.right(225, 300), "old", is_baseline=True)
    record = (new >= old - 0.2).record
    assert record.seeds == 3
    assert record.seed_sd == new.source.seed_sd
    assert any("seeds 3 vs 1, measured seed sd" in line for line in record.lines)


def test_two_seeds_measure_no_sd(make: Any) -> None:
    assert mean_of_seeds(seeds_of(make, 2)).source.seed_sd is None


def test_one_seed_is_itself(make: Any) -> None:
    only = seeds_of(make, 1)[0]
    assert mean_of_seeds([only]) is only


def test_perplexities_are_averaged_as_they_are_and_vary_by_ratios(make: Any) -> None:
    tokens = np.full(50, 100.0)
    scores = [make.documents(np.linspace(200, 260, 50) * factor, tokens) for factor in (1.0, 1.01, 1.02)]
    score = mean_of_seeds(scores)
    assert score == pytest.approx(np.mean([float(item) for item in scores]))
    assert score.source.seed_sd == pytest.approx(statistics.stdev(np.log([float(item) for item in scores])))
    assert score.interval is not None
    assert score.interval[0] < float(score) < score.interval[1]


def test_sizes_are_averaged_without_evidence(make: Any) -> None:
    assert mean_of_seeds([make.exact(100.0), make.exact(200.0)]) == 150.0


def test_what_cannot_be_averaged_is_refused(make: Any) -> None:
    scores = seeds_of(make, 2)
    with pytest.raises(ComparisonError, match="mean of no scores"):
        mean_of_seeds([])
    with pytest.raises(ComparisonError, match="other examples"):
        mean_of_seeds([scores[0], make.rate(make.right(8, 10))])
    gaps = [gap(score, score) for score in scores]
    with pytest.raises(ComparisonError, match="average the scores first"):
        mean_of_seeds(gaps)
