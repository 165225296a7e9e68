"""Intervals of single scores."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from slmcheck.gates import Evidence, Score, ScoreSource
from slmcheck.gates.levels import effective_size, level_of
from slmcheck.statistics import clopper_pearson, normal_quantile, t_quantile, wilson


def test_rates_have_wilsons_interval(make: Any) -> None:
    low, high = wilson(450, 500, normal_quantile(0.975))
    assert make.rate(make.right(450, 500)).interval == (float(low), float(high))


def test_safety_limits_have_clopper_and_pearsons(make: Any) -> None:
    strict = replace(make.accuracy, interval="clopper_pearson")
    assert make.rate(make.right(450, 500), metric=strict).interval == clopper_pearson(450, 500, 0.95)


@pytest.mark.parametrize(("disagreements", "needed"), [(0, 299), (1, 473), (5, 1049)])
def test_agreement_of_99_percent_needs_so_many_examples(make: Any, disagreements: int, needed: int) -> None:
    strict = replace(make.accuracy, interval="clopper_pearson")

    def proven(examples: int) -> bool:
        score = make.rate(make.right(examples - disagreements, examples), metric=strict)
        return bool(score.at_least(0.99, confidence=0.90))

    assert proven(needed)
    assert not proven(needed - 1)


def test_a_log_interval_is_one_of_ratios(make: Any) -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(20, 200, 100).astype(float)
    nats = tokens * rng.normal(2.5, 0.3, 100)
    score = make.documents(nats, tokens)
    residual = nats - nats.sum() / tokens.sum() * tokens
    error = math.sqrt(np.square(residual).sum() * 100 / 99) / tokens.sum()
    half = t_quantile(0.975, 99) * error
    assert score.interval == pytest.approx((float(score) * math.exp(-half), float(score) * math.exp(half)), rel=1e-6)


def test_f1_stays_in_range_on_the_logit_scale(make: Any) -> None:
    references = np.arange(60) % 3
    predicted = references.copy()
    predicted[0] = 1
    low, high = make.classes(references, predicted).interval
    assert 0.88 < low < high < 1.0


def test_a_perfect_score_is_not_certain(make: Any) -> None:
    references = np.arange(60) % 3
    assert make.classes(references, references).interval == pytest.approx(
        tuple(float(bound) for bound in wilson(60, 60, normal_quantile(0.975)))
    )


def test_perfect_bleu_is_not_certain_either(make: Any) -> None:
    from slmcheck.metrics import measure, resolve
    from slmcheck.records import Prediction

    sentences = [" ".join(f"w{i + j}" for j in range(5 + i % 4)) for i in range(40)]
    answers = [Prediction(id=str(i), prediction=text, references=(text,)) for i, text in enumerate(sentences)]
    score = measure(resolve("bleu", "generation"), answers, ScoreSource(name="lora"))
    assert score == pytest.approx(100.0)
    low, high = wilson(40, 40, normal_quantile(0.975))
    assert score.interval == pytest.approx((100.0 * float(low), 100.0 * float(high)))


def test_bounds_of_shares_are_cut_at_their_range(make: Any) -> None:
    info = replace(make.accuracy, name="rouge1", interval="influence", paired="influence")
    score = make.rate(np.array([1.0, 1.0, 1.0, 0.9, 0.2]), metric=info)
    assert score.interval is not None
    assert score.interval[1] == 1.0


def test_groups_shrink_the_sample(make: Any) -> None:
    right = np.repeat(np.arange(50) < 40, 10)
    clustered = make.rate(right, groups=[str(i // 10) for i in range(500)])
    assert clustered.evidence is not None
    size, degrees = effective_size(clustered.evidence)
    assert size == pytest.approx(50, rel=0.03)
    assert degrees == 49
    plain = make.rate(right)
    assert clustered.interval[1] - clustered.interval[0] > 2.5 * (plain.interval[1] - plain.interval[0])


def test_groups_that_all_agree_count_once_each(make: Any) -> None:
    all_right = make.rate(make.right(100, 100), groups=[str(i % 20) for i in range(100)])
    assert all_right.evidence is not None
    assert effective_size(all_right.evidence) == (20.0, 19.0)


def test_rare_classes_are_bootstrapped(make: Any) -> None:
    references = np.where(np.arange(200) < 4, 2, np.arange(200) % 2)
    predicted = np.where(np.random.default_rng(0).random(200) < 0.85, references, 0)
    score = make.classes(references, predicted)
    level = level_of(score.measurement)
    assert level is not None
    assert "rare classes: '2' (4); bootstrap interval" in level.notes[0]
    assert level.low < float(score) < level.high
    assert level == level_of(make.classes(references, predicted).measurement)


def test_one_example_has_no_interval(make: Any) -> None:
    assert make.rate([True]).interval is None


def test_a_mean_of_constant_values_has_an_interval_of_no_width(make: Any) -> None:
    info = replace(make.accuracy, name="length", unit="count", interval="influence", paired="influence")
    assert make.rate([3.0, 3.0, 3.0], metric=info).interval == pytest.approx((3.0, 3.0))


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_coverage_of_the_influence_interval(scale: float, make: Any) -> None:
    rng = np.random.default_rng(6)
    info = replace(make.bleu, unit="points" if scale == 100.0 else "share")
    covered = []
    for _ in range(400):
        values = scale * rng.beta(2, 3, 60)
        evidence = Evidence(
            example_ids=make.ids(60),
            statistics=np.stack([values, np.ones(60)], axis=-1),
            columns=("sum", "count"),
            value_of_sum=make.mean,
        )
        interval = Score(evidence.value, metric=info, source=ScoreSource(name="x"), evidence=evidence).interval
        assert interval is not None
        covered.append(interval[0] <= scale * 0.4 <= interval[1])
    assert 0.92 <= np.mean(covered) <= 0.975
