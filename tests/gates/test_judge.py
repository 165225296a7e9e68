"""Claims, policies and states: the table of semantics, row by row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slmcheck.errors import ComparisonError
from slmcheck.gates import MetricInfo, Policy, Score, ScoreSource, judging

RELEASE = Policy(gate="release", primary=True)
ORDINARY = Policy(gate="release")
DEV = Policy()


def holds(comparison: Any, policy: Policy) -> bool:
    with judging(policy):
        return bool(comparison())


@pytest.mark.parametrize(
    ("threshold", "state", "proven", "dev", "release"),
    [
        (0.80, "pass", True, True, True),
        (0.84, "pass", False, True, False),
        (0.85, "fail", False, False, False),
        (0.90, "fail", True, False, False),
    ],
)
def test_levels(make: Any, threshold: float, state: str, proven: bool, dev: bool, release: bool) -> None:
    run = make.rate(make.right(423, 500))
    verdict = run >= threshold
    assert (verdict.state, verdict.proven) == (state, proven)
    assert holds(lambda: run >= threshold, DEV) is dev
    assert holds(lambda: run >= threshold, ORDINARY) is dev
    assert holds(lambda: run >= threshold, RELEASE) is release


def test_a_strict_level_excludes_its_threshold(make: Any) -> None:
    run = make.rate(make.right(450, 500))
    assert run >= 0.9
    assert not run > 0.9
    assert (run > 0.9).record.lines[0].startswith("WEAK FAIL  lora.accuracy 0.900 <= 0.900")


@pytest.mark.parametrize(
    ("lost", "won", "margin", "state", "dev", "release"),
    [
        (10, 10, 0.03, "pass", True, True),
        (14, 8, 0.01, "inconclusive", True, False),
        (60, 10, 0.01, "fail", False, False),
        (60, 10, 0.15, "pass", True, True),
        (0, 40, 0.0, "pass", True, True),
        (10, 10, 0.0, "inconclusive", True, False),
    ],
)
def test_no_worse(make: Any, lost: int, won: int, margin: float, state: str, dev: bool, release: bool) -> None:
    old = make.rate(make.right(400, 500), "old")
    new = make.rate(make.flipped(make.right(400, 500), lost=lost, won=won), "new")
    assert (new >= old - margin).state == state
    assert holds(lambda: new >= old - margin, DEV) is dev
    assert holds(lambda: new >= old - margin, RELEASE) is release


@pytest.mark.parametrize(
    ("lost", "won", "state", "proven", "dev", "release"),
    [
        (0, 40, "pass", True, True, True),
        (10, 12, "pass", False, True, False),
        (10, 10, "fail", False, False, False),
        (40, 0, "fail", True, False, False),
    ],
)
def test_better(make: Any, lost: int, won: int, state: str, proven: bool, dev: bool, release: bool) -> None:
    old = make.rate(make.right(400, 500), "old")
    new = make.rate(make.flipped(make.right(400, 500), lost=lost, won=won), "new")
    verdict = new > old
    assert (verdict.record.kind, verdict.state, verdict.proven) == ("better", state, proven)
    assert holds(lambda: new > old, DEV) is dev
    assert holds(lambda: new > old, RELEASE) is release


@pytest.mark.parametrize(
    ("won", "state", "proven", "release"),
    [(60, "pass", True, True), (25, "pass", False, False), (20, "fail", False, False)],
)
def test_better_by(make: Any, won: int, state: str, proven: bool, release: bool) -> None:
    old = make.rate(make.right(400, 500), "old")
    new = make.rate(make.flipped(make.right(400, 500), lost=0, won=won), "new")
    verdict = new >= old + 0.05
    assert (verdict.record.kind, verdict.state, verdict.proven) == ("better_by", state, proven)
    assert holds(lambda: new >= old + 0.05, DEV) is (state == "pass")
    assert holds(lambda: new >= old + 0.05, RELEASE) is release
    assert bool(new > old + 0.05) is (won > 25)


@pytest.mark.parametrize(
    ("lost", "won", "state", "proven"),
    [(2, 2, "pass", True), (20, 19, "pass", False), (14, 2, "fail", False), (40, 2, "fail", True)],
)
def test_equivalence_is_two_one_sided_tests(make: Any, lost: int, won: int, state: str, proven: bool) -> None:
    old = make.rate(make.right(400, 500), "lora")
    new = make.rate(make.flipped(make.right(400, 500), lost=lost, won=won), "lora.onnx(int8)", run_key="lora")
    verdict = new.equivalent_to(old, margin=0.02)
    assert (verdict.record.kind, verdict.state, verdict.proven) == ("equivalent", state, proven)
    assert holds(lambda: new.equivalent_to(old, margin=0.02), RELEASE) is (state == "pass" and proven)


def test_inconclusive_may_be_set_to_fail(make: Any) -> None:
    old = make.rate(make.right(400, 500), "old")
    new = make.rate(make.flipped(make.right(400, 500), lost=14, won=8), "new")
    assert not holds(lambda: new >= old - 0.01, Policy(inconclusive="fail"))
    assert not holds(lambda: new >= old - 0.01, replace(ORDINARY, inconclusive="fail"))


def test_alpha_is_the_sessions(make: Any) -> None:
    old = make.rate(make.right(400, 500), "old")
    new = make.rate(make.flipped(make.right(400, 500), lost=36, won=14), "new")
    assert (new >= old - 0.01).state == "fail"
    with judging(Policy(alpha=0.001)):
        assert (new >= old - 0.01).state == "inconclusive"
    assert new.no_worse_than(old, alpha=0.001).state == "inconclusive"


def test_measurements_without_sampling_error_need_no_proof(make: Any) -> None:
    old, new = make.exact(1_000_000, "old"), make.exact(1_015_000, "new")
    for policy in (DEV, RELEASE):
        with judging(policy):
            assert new <= 2_000_000
            assert new <= old * 1.02
            assert not new <= old * 1.01
            assert not new < old
            assert new.equivalent_to(old)
            assert not new.equivalent_to(old, margin=0.001)
    record = (new <= old * 1.02).record
    assert (record.kind, record.proven, record.low) == ("exact", True, None)
    assert record.lines[0] == "PASS  new.size 1,015,000 <= 1,020,000 (old 1,000,000; exact, no sampling error)"
    assert (new <= 2e6).record.lines[0] == "PASS  new.size 1,015,000 <= 2,000,000 (exact, no sampling error)"


def test_a_score_without_evidence_passes_by_value_and_proves_nothing() -> None:
    bare = Score(0.9, metric=MetricInfo(name="judge"), source=ScoreSource(name="lora"))
    assert bare >= 0.8
    assert (bare >= 0.8).record.lines[0] == (
        "WEAK PASS  lora.judge 0.9000 >= 0.8000, not proven: nothing is known of its uncertainty, n=0"
    )
    assert not holds(lambda: bare >= 0.8, RELEASE)
    with pytest.raises(ComparisonError, match="no per-example evidence"):
        bare >= bare - 0.1  # noqa: B015


def test_a_metric_that_resampled_itself_can_prove_a_level() -> None:
    info = MetricInfo(name="meteor", interval="none", paired="none")
    score = Score(0.5, metric=info, source=ScoreSource(name="lora"), interval=(0.45, 0.55), n=200)
    assert score.interval == (0.45, 0.55)
    assert (score >= 0.4).proven
    assert not (score >= 0.48).proven
    assert not score.at_least(0.4, confidence=0.99)
    with pytest.raises(ComparisonError, match="gives one number for all examples"):
        score >= score - 0.1  # noqa: B015


def test_metrics_that_are_reported_only_do_not_compare(make: Any) -> None:
    ece = replace(make.accuracy, name="ece", paired="none")
    with pytest.raises(ComparisonError, match="reported, not compared"):
        make.rate(make.right(5, 10), metric=ece) >= make.rate(make.right(6, 10), "old", metric=ece)  # noqa: B015


def test_rows_that_selected_the_checkpoint_release_nothing(make: Any) -> None:
    run = make.rate(make.right(490, 500), selected_on_validation=True)
    verdict = run >= 0.9
    assert verdict
    assert verdict.proven
    assert any("selected on these rows" in line for line in verdict.lines)
    assert not holds(lambda: run >= 0.9, RELEASE)
    with judging(RELEASE):
        assert any("give the recipe data.test" in line for line in (run >= 0.9).lines)
    assert holds(lambda: run >= 0.9, ORDINARY)


def test_a_factor_of_zero_or_below_has_no_place_on_a_log_scale(make: Any) -> None:
    tokens = np.full(20, 10.0)
    score = make.documents(np.linspace(20, 30, 20), tokens)
    with pytest.raises(ComparisonError, match="compared by ratios"):
        score <= make.documents(np.linspace(20, 30, 20), tokens, "old") - 100.0  # noqa: B015


def test_the_record_holds_everything(make: Any) -> None:
    old = make.rate(make.right(449, 500), "release-1.4", is_baseline=True)
    new = make.rate(make.flipped(make.right(449, 500), lost=42, won=16), slice="short", notes=("trained elsewhere",))
    old = make.rate(make.right(449, 500), "release-1.4", is_baseline=True, slice="short")
    with judging(RELEASE):
        record = (new >= old - 0.01).record
    assert record.claim == 'lora.slice("short").accuracy >= release-1.4.slice("short").accuracy - 0.01'
    assert (record.kind, record.state, record.proven, record.holds) == ("no_worse", "fail", True, False)
    assert (record.metric, record.run, record.run_key, record.unit) == ("accuracy", "lora", "lora", "share")
    assert (record.value, record.target, record.change) == pytest.approx((0.846, 0.898, -0.052))
    assert record.margin == pytest.approx(0.01)
    assert record.low is not None
    assert record.high is not None
    assert record.low < record.value < record.high
    assert record.change_low is not None
    assert record.change_high is not None
    assert record.change_low < -0.052 < record.change_high
    assert record.p_value is not None
    assert record.p_value < 0.001
    assert (record.n, record.paired, record.seeds, record.seed_sd) == (500, True, 1, 0.005)
    assert (record.slice, record.primary, record.notes) == ("short", True, ("trained elsewhere",))
    assert record.target_name == 'release-1.4.slice("short").accuracy'


def test_every_failed_comparison_shows_three_examples_in_full(make: Any) -> None:
    old = make.rate(make.right(449, 500), "release-1.4", is_baseline=True)
    new = make.rate(make.flipped(make.right(449, 500), lost=42, won=16))
    shown = (new >= old - 0.01).record.examples
    assert [example.id for example in shown] == ["ex0000", "ex0001", "ex0002"]
    assert shown[0].prompt == "prompt of ex0000"
    assert (shown[0].answer, shown[0].old_answer) == ("new answer", "answer of release-1.4")
    level = (new >= 0.9).record.examples
    assert [example.id for example in level] == ["ex0000", "ex0001", "ex0002"]
    assert level[0].old_answer is None
    assert (new >= 0.8).record.examples == ()


def test_a_failed_improvement_without_worse_examples_shows_wrong_ones(make: Any) -> None:
    same = make.right(400, 500)
    shown = (make.rate(same, "new") > make.rate(same, "old")).record.examples
    assert [example.id for example in shown] == ["ex0400", "ex0401", "ex0402"]


counts = st.integers(0, 40)
offsets = st.floats(-0.1, 0.1).filter(lambda offset: offset == 0.0 or abs(offset) > 1e-6)


@given(counts, counts, offsets)
def test_a_claim_of_improvement_is_never_true_against_its_own_estimate(
    make: Any, lost: int, won: int, by: float
) -> None:
    old = make.rate(make.right(100, 200), "old")
    new = make.rate(make.flipped(make.right(100, 200), lost=lost, won=won), "new")
    if new > old + max(by, 0.0):
        assert float(new) - float(old) > max(by, 0.0) - 1e-12


@given(counts, counts, offsets)
def test_what_release_accepts_dev_accepts(make: Any, lost: int, won: int, by: float) -> None:
    old = make.rate(make.right(100, 200), "old")
    new = make.rate(make.flipped(make.right(100, 200), lost=lost, won=won), "new")
    assert not holds(lambda: new >= old + by, RELEASE) or holds(lambda: new >= old + by, DEV)
    assert not holds(lambda: new >= 0.5 + by, RELEASE) or holds(lambda: new >= 0.5 + by, DEV)


@given(counts, counts, offsets)
def test_errors_mirror_rights(make: Any, lost: int, won: int, by: float) -> None:
    wrong = replace(make.accuracy, name="error_rate", higher_is_better=False)
    old_right = make.right(100, 200)
    new_right = make.flipped(old_right, lost=lost, won=won)
    old, new = make.rate(old_right, "old"), make.rate(new_right, "new")
    old_errors, new_errors = make.rate(~old_right, "old", metric=wrong), make.rate(~new_right, "new", metric=wrong)
    higher, lower = (new >= old + by).record, (new_errors <= old_errors - by).record
    assert (higher.kind, higher.state, higher.proven, higher.holds) == (
        lower.kind,
        lower.state,
        lower.proven,
        lower.holds,
    )
    assert higher.p_value == pytest.approx(lower.p_value)
    assert higher.change_low == pytest.approx(-lower.change_high)


@settings(max_examples=30)
@given(st.integers(0, 10_000), counts, counts)
def test_the_order_of_examples_does_not_matter(make: Any, seed: int, lost: int, won: int) -> None:
    order = np.random.default_rng(seed).permutation(200)
    right = make.flipped(make.right(100, 200), lost=lost, won=won)
    ids = make.ids(200)
    old = make.rate(make.right(100, 200), "old")
    straight = make.rate(right, "new") >= old - 0.02
    shuffled = make.rate(right[order], "new", ids=[ids[i] for i in order]) >= old - 0.02
    assert straight.record == shuffled.record


@given(st.integers(0, 200), st.floats(0.0, 1.0), st.floats(0.0, 0.5))
def test_a_higher_bar_is_never_easier(make: Any, count: int, threshold: float, more: float) -> None:
    run = make.rate(make.right(count, 200))
    for policy in (DEV, RELEASE):
        assert holds(lambda: run >= threshold, policy) or not holds(lambda: run >= threshold + more, policy)
