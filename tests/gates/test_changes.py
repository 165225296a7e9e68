"""Changes of every kind of score: tests, scales, clusters, rare classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from slmcheck.gates import compare
from slmcheck.statistics import mcnemar_mid_p, newcombe, normal_quantile, t_quantile, tango, wilson


def test_rates_are_compared_by_mcnemar_and_tango(make: Any) -> None:
    old = make.rate(make.right(449, 500), "lora", run_key="same")
    new = make.rate(make.flipped(make.right(449, 500), lost=42, won=16), "lora.onnx(int8)", run_key="same")
    found = compare(new.measurement, old.measurement, alpha=0.05)
    low, high = tango(16, 42, 500, normal_quantile(0.95))
    assert (float(found.estimate.low), float(found.estimate.high)) == (float(low), float(high))
    assert float(found.estimate.p_value) == float(mcnemar_mid_p(42, 16))
    assert (len(found.worse), found.better) == (42, 16)


def test_perplexity_is_compared_on_the_log_scale_over_documents(make: Any) -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(20, 200, 400).astype(float)
    nats = tokens * rng.normal(2.5, 0.3, 400)
    more = nats + tokens * rng.normal(0.01, 0.05, 400)
    found = compare(
        make.documents(more, tokens).measurement, make.documents(nats, tokens, "old").measurement, alpha=0.05
    )
    per_document = (more - nats) - (more.sum() - nats.sum()) / tokens.sum() * tokens
    items = math.sqrt(np.square(per_document).sum() * 400 / 399) / tokens.sum()
    assert float(found.estimate.change) == pytest.approx(-(more.sum() - nats.sum()) / tokens.sum(), rel=1e-9)
    assert math.sqrt(float(found.estimate.item_variance)) == pytest.approx(items, rel=1e-6)
    assert float(found.estimate.standard_error) == pytest.approx(math.hypot(items, 0.012 * math.sqrt(2)), rel=1e-6)


def test_a_change_of_perplexity_is_told_in_percent_and_kept_in_its_unit(make: Any) -> None:
    tokens = np.full(100, 50.0)
    nats = tokens * np.linspace(2.0, 3.0, 100)
    old = make.documents(nats, tokens, "old")
    new = make.documents(nats + 50.0 * math.log(1.05), tokens, "new")
    record = (new <= old * 1.10).record
    assert record.change == pytest.approx(0.05 * float(old))
    assert record.margin == pytest.approx(0.10 * float(old))
    assert "change +5.0 %" in record.lines[1]
    assert record.lines[0].endswith("(limit 10.0)")


def test_macro_f1_agrees_with_a_bootstrap_of_pairs(make: Any) -> None:
    rng = np.random.default_rng(1)
    references = rng.integers(0, 3, 600)
    old = np.where(rng.random(600) < 0.8, references, rng.integers(0, 3, 600))
    new = np.where(rng.random(600) < 0.1, rng.integers(0, 3, 600), old)
    found = compare(
        make.classes(references, new).measurement, make.classes(references, old, "old").measurement, alpha=0.05
    )
    differences = []
    for _ in range(2000):
        rows = rng.integers(0, 600, 600)
        differences.append(
            float(make.classes(references[rows], new[rows])) - float(make.classes(references[rows], old[rows]))
        )
    assert math.sqrt(float(found.estimate.item_variance)) == pytest.approx(np.std(differences), rel=0.05)


def test_only_examples_whose_answer_changed_count_as_moved(make: Any) -> None:
    rng = np.random.default_rng(2)
    references = rng.integers(0, 3, 300)
    old = np.where(rng.random(300) < 0.8, references, (references + 1) % 3)
    new = old.copy()
    new[:5] = (references[:5] + 2) % 3
    found = compare(
        make.classes(references, new).measurement, make.classes(references, old, "old").measurement, alpha=0.05
    )
    assert len(found.worse) + (found.better or 0) <= 5
    assert set(found.worse) <= {f"ex{i:04d}" for i in range(5)}


def test_a_label_that_only_one_model_predicts_is_aligned_by_name(make: Any) -> None:
    references = np.array([0, 1] * 50)
    old = make.classes(references, references, "old", labels=2)
    new = make.classes(references, np.where(np.arange(100) < 3, 2, references), labels=3)
    found = compare(new.measurement, old.measurement, alpha=0.05)
    assert len(found.worse) == 3
    assert found.better == 0


def test_identical_answers_of_a_score_without_spread_do_not_claim_certainty(make: Any) -> None:
    references = np.arange(100) % 3
    found = compare(
        make.classes(references, references, "lora").measurement,
        make.classes(references, references, "other").measurement,
        alpha=0.05,
        seed_sd=0.0,
    )
    low, _ = tango(0, 0, 100, normal_quantile(0.95))
    assert float(found.estimate.low) == pytest.approx(float(low))
    assert float(found.estimate.change) == 0.0


def test_groups_make_the_error_one_of_clusters(make: Any) -> None:
    rng = np.random.default_rng(3)
    effect = np.repeat(rng.random(40) < 0.3, 10)
    old_right = rng.random(400) < 0.8
    new_right = old_right & ~(effect & (rng.random(400) < 0.5))
    groups = [f"document {i // 10}" for i in range(400)]
    old = make.rate(old_right, "lora", run_key="k", groups=groups)
    new = make.rate(new_right, "lora", run_key="k", groups=groups)
    found = compare(new.measurement, old.measurement, alpha=0.05)
    differences = new_right.astype(float) - old_right
    sums = (differences - differences.mean()).reshape(40, 10).sum(axis=1)
    expected = math.sqrt(np.square(sums).sum() * 40 / 39) / 400
    assert float(found.estimate.standard_error) == pytest.approx(expected, rel=1e-6)
    quantile = t_quantile(0.95, 39)
    assert float(found.estimate.low) == pytest.approx(differences.mean() - quantile * expected, rel=1e-6)
    assert any("400 examples in 40 groups" in note for note in found.notes)


def test_few_groups_are_warned_of(make: Any) -> None:
    groups = [f"g{i % 5}" for i in range(100)]
    old, new = make.rate(make.right(80, 100), "old", groups=groups), make.rate(make.right(78, 100), groups=groups)
    record = (new >= old - 0.1).record
    assert any("only 5 groups" in note for note in record.notes)


def test_separate_samples_of_a_rate_use_newcombe(make: Any) -> None:
    old = make.rate(make.right(48, 80), "old", run_key=None, ids=[f"o{i}" for i in range(80)])
    new = make.rate(make.right(56, 70), "new", run_key=None)
    found = compare(new.measurement, old.measurement, alpha=0.025)
    z = normal_quantile(0.975)
    first, second = ([float(bound) for bound in wilson(*item, z)] for item in ((56, 70), (48, 80)))
    expected = newcombe(0.8, (first[0], first[1]), 0.6, (second[0], second[1]))
    assert (float(found.estimate.low), float(found.estimate.high)) == pytest.approx(expected)


def test_separate_samples_of_errors_mirror_those_of_rights(make: Any) -> None:
    from dataclasses import replace

    wrong = replace(make.accuracy, name="error_rate", higher_is_better=False)
    ids = [f"o{i}" for i in range(80)]
    rights = compare(
        make.rate(make.right(56, 70), "new").measurement,
        make.rate(make.right(48, 80), "old", ids=ids).measurement,
        alpha=0.05,
    ).estimate
    errors = compare(
        make.rate(~make.right(56, 70), "new", metric=wrong).measurement,
        make.rate(~make.right(48, 80), "old", ids=ids, metric=wrong).measurement,
        alpha=0.05,
    ).estimate
    assert (float(rights.low), float(rights.high)) == pytest.approx((float(errors.low), float(errors.high)))


def test_separate_samples_of_means_use_welch(make: Any) -> None:
    from dataclasses import replace

    rng = np.random.default_rng(4)
    info = replace(make.accuracy, name="rouge", paired="influence", interval="influence", seed_sd=None)
    first, second = rng.random(40), rng.random(90) * 0.8
    new = make.rate(first, "new", metric=info)
    old = make.rate(second, "old", metric=info, ids=[f"o{i}" for i in range(90)])
    found = compare(new.measurement, old.measurement, alpha=0.05)
    test = stats.ttest_ind(first, second, equal_var=False)
    interval = test.confidence_interval(0.90)
    # The union has 130 examples instead of two samples with their own n - 1: close, not equal.
    assert (float(found.estimate.low), float(found.estimate.high)) == pytest.approx(
        (interval.low, interval.high), rel=0.02
    )


def test_rare_classes_are_bootstrapped_with_a_warning(make: Any) -> None:
    rng = np.random.default_rng(5)
    references = np.where(np.arange(200) < 4, 2, np.arange(200) % 2)
    predicted = np.where(rng.random(200) < 0.85, references, 0)
    old = make.classes(references, predicted, "old")
    new = make.classes(references, np.where(rng.random(200) < 0.9, predicted, 1), "new")
    record = (new >= old - 0.05).record
    assert any("rare classes: '2' (4); bootstrap" in note for note in record.notes)
    assert record.change_low < record.change < record.change_high
    again = (new >= make.classes(references, predicted, "old") - 0.05).record
    assert (again.change_low, again.change_high) == (record.change_low, record.change_high)


def test_one_example_tells_nothing(make: Any) -> None:
    tokens = np.array([10.0])
    record = (make.documents(np.array([20.0]), tokens) <= make.documents(np.array([21.0]), tokens, "old") * 2).record
    assert record.state == "inconclusive"
