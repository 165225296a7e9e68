"""The operators and keyword forms of scores."""

from __future__ import annotations

import copy
import json
import math
import operator
import pickle
from typing import Any

import numpy as np
import pytest

from slmcheck.errors import ComparisonError, UndefinedScoreError
from slmcheck.gates import Change, Policy, Score, ScoreSource, judging, verdict_of


@pytest.fixture
def score(make: Any) -> Score:
    return make.rate(make.flipped(make.right(449, 500), lost=42, won=16), "lora")


@pytest.fixture
def accepted(make: Any) -> Score:
    return make.rate(make.right(449, 500), "release-1.4", is_baseline=True)


def test_a_score_is_a_number_everywhere_else(score: Score) -> None:
    assert json.dumps({"accuracy": score}) == '{"accuracy": 0.846}'
    assert f"{score:.2f} {score} {score!s}" == "0.85 0.846 0.846"
    assert round(score, 2) == 0.85
    assert type(round(score, 2)) is float
    assert {0.846: "found"}[score] == "found"
    assert score == 0.846
    assert score == pytest.approx(0.85, abs=0.01)
    assert math.sqrt(score) == math.sqrt(0.846)
    assert np.mean([score, 0.846]) == 0.846
    assert np.sqrt(score) == np.sqrt(0.846)
    assert score != 0.9


def test_a_score_says_what_it_is(score: Score) -> None:
    assert repr(score) == "lora.accuracy 0.846"
    assert score.n == 500
    assert score.interval == pytest.approx((0.8117, 0.8750), abs=1e-3)
    assert score.metric.name == "accuracy"
    assert score.source.name == "lora"
    assert score.evidence is not None


def test_copies_are_plain_numbers(score: Score) -> None:
    assert type(copy.copy(score)) is float
    assert type(copy.deepcopy(score)) is float
    assert pickle.loads(pickle.dumps(score)) == 0.846


def test_a_value_that_is_no_number_is_refused(make: Any) -> None:
    with pytest.raises(UndefinedScoreError, match="accuracy of lora is nan"):
        Score(float("nan"), metric=make.accuracy, source=ScoreSource(name="lora"))


def test_the_right_operand_decides_what_is_judged(score: Score, accepted: Score) -> None:
    kinds = {
        "level": score >= 0.8,
        "no_worse": score >= accepted - 0.06,
        "better": score > accepted,
        "better_by": score >= accepted + 0.01,
    }
    assert {name: verdict.record.kind for name, verdict in kinds.items()} == {name: name for name in kinds}


def test_no_subtraction_is_margin_zero(score: Score, accepted: Score) -> None:
    record = (score >= accepted).record
    assert record.kind == "no_worse"
    assert record.margin == 0.0
    assert record.state == "fail"


@pytest.mark.parametrize("number", [0.9, np.float64(0.9), np.float32(0.9)])
def test_reflected_comparisons_judge_the_same(score: Score, number: float) -> None:
    verdict = number <= score
    assert verdict.record.kind == "level"  # type: ignore[attr-defined]
    assert not verdict


def test_a_baseline_on_the_left_is_still_the_baseline(score: Score, accepted: Score) -> None:
    left, right = (accepted - 0.01 <= score).record, (score >= accepted - 0.01).record
    assert left.claim == "release-1.4.accuracy - 0.01 <= lora.accuracy"
    assert (left.run, left.change, left.state) == (right.run, right.change, right.state)


def test_both_sides_may_be_moved(score: Score, accepted: Score) -> None:
    assert (score + 0.01 >= accepted).record.margin == pytest.approx(0.01)
    assert (score * 2 >= accepted * 2 - 0.02).record.margin == pytest.approx(0.01)
    assert (score >= accepted * 0.98).record.margin == pytest.approx(0.02 * 0.898)
    assert (score >= 0.98 * accepted).record.margin == pytest.approx(0.02 * 0.898)
    assert (score / 0.5 >= accepted / 0.5).record.margin == pytest.approx(0.0)


def test_one_minus_a_score_turns_the_direction(score: Score) -> None:
    verdict = 1 - score <= 0.2
    assert verdict
    assert verdict.record.claim == "1 - lora.accuracy <= 0.2"
    assert verdict.record.target == pytest.approx(0.8)
    assert (1 - score).interval == pytest.approx((1 - 0.8750, 1 - 0.8117), abs=1e-3)
    assert -score <= -0.8


def test_a_chain_judges_each_bound(score: Score, accepted: Score) -> None:
    with judging(Policy()) as verdicts:
        assert 0.8 <= score >= accepted - 0.06
    assert [verdict.record.kind for verdict in verdicts] == ["level", "no_worse"]


def test_a_bound_in_the_wrong_direction_raises(make: Any, score: Score, accepted: Score) -> None:
    with pytest.raises(ComparisonError, match="asks for a worse score: accuracy is better when higher"):
        score <= 0.9  # noqa: B015
    with pytest.raises(ComparisonError, match="written with >=, not with <"):
        score < accepted  # noqa: B015
    perplexity = make.documents(np.array([10.0, 20.0, 31.0]), np.array([10.0, 20.0, 30.0]))
    with pytest.raises(ComparisonError, match="better when lower"):
        perplexity >= 3.0  # noqa: B015
    with pytest.raises(ComparisonError, match="not a number"):
        score >= float("nan")  # noqa: B015


def test_without_a_baseline_the_better_side_is_the_claim(make: Any, score: Score) -> None:
    base = make.rate(make.right(300, 500), "lora.base", run_key=None)
    record = (base < score).record
    assert (record.run, record.kind, record.holds) == ("lora", "better", True)


def test_lower_is_better_mirrors(make: Any) -> None:
    rng = np.random.default_rng(1)
    tokens = rng.integers(20, 200, 300).astype(float)
    nats = tokens * rng.normal(2.5, 0.3, 300)
    old = make.documents(nats, tokens, "old")
    new = make.documents(nats * 1.10, tokens, "new")
    assert not new <= old * 1.02
    assert (new <= old * 1.02).state == "fail"
    assert old <= new * 1.02
    assert (new <= old + 5.0).record.margin == pytest.approx(5.0)
    assert (old < new).record.kind == "better"
    assert new <= 20.0
    assert (new - old <= 0.1).state == "fail"


def test_a_difference_is_judged_like_the_comparison_it_rearranges(score: Score, accepted: Score) -> None:
    change = score - accepted
    assert isinstance(change, Change)
    assert change == pytest.approx(-0.052)
    plain = (score >= accepted - 0.06).record
    for verdict in (
        change >= -0.06,
        change >= -0.06,
        accepted - score <= 0.06,
        change + 0.06 >= 0,
        100 * change >= -6,
        -change <= 0.06,
        0.06 - (accepted - score) >= 0,
        change / 2 >= -0.03,
    ):
        record = verdict.record
        assert (record.kind, record.state, record.run) == ("no_worse", plain.state, "lora")
        assert record.margin == pytest.approx(0.06)
    assert (change > 0).record.kind == "better"
    assert (change >= 0.02).record.kind == "better_by"
    assert repr(change) == "lora.accuracy - release-1.4.accuracy -0.052"


def test_a_distance_is_a_claim_of_equivalence(score: Score, make: Any) -> None:
    other = make.rate(make.flipped(make.right(449, 500), lost=43, won=17), "other")
    verdict = abs(score - other) <= 0.05
    assert verdict.record.kind == "equivalent"
    assert verdict.proven
    assert not abs(score - make.rate(make.right(449, 500), "far")) <= 0.005
    with pytest.raises(TypeError, match="a distance is judged as"):
        abs(score - other) >= 0.05  # noqa: B015
    assert type(abs(score - other + 0.1)) is float


def test_sorting_and_extremes_go_by_value_and_record_nothing(score: Score, accepted: Score) -> None:
    with judging(Policy(gate="release", primary=True)) as verdicts:
        assert max(score, accepted) is accepted
        assert min(score, accepted) is score
        assert sorted([accepted, score]) == [score, accepted]
        assert max([score, 0.5]) is score
        assert operator.lt(score, accepted) is True
        assert all(map(operator.ge, [score], [0.1]))
    assert verdicts == []


def test_other_metrics_are_refused_with_a_sentence(make: Any, score: Score) -> None:
    perplexity = make.documents(np.array([10.0, 20.0, 31.0]), np.array([10.0, 20.0, 30.0]), "other")
    with pytest.raises(TypeError, match=r"lora.accuracy and other.perplexity cannot be compared"):
        score > perplexity  # noqa: B015
    with pytest.raises(TypeError, match="cannot be subtracted"):
        score - perplexity


@pytest.mark.parametrize("combine", [operator.add, operator.mul, operator.truediv])
def test_arithmetic_that_would_lose_the_evidence_is_refused(score: Score, accepted: Score, combine: Any) -> None:
    with pytest.raises(TypeError, match="no evidence to judge"):
        combine(score, accepted)
    with pytest.raises(TypeError):
        combine(score - accepted, score)


def test_a_score_and_a_change_do_not_compare(score: Score, accepted: Score) -> None:
    with pytest.raises(TypeError, match="compare"):
        score >= score - accepted  # noqa: B015
    with pytest.raises(TypeError, match="compare it with a number"):
        (score - accepted) >= score  # noqa: B015
    with pytest.raises(TypeError, match="'>=' not supported"):
        score >= "0.9"  # type: ignore[operator]  # noqa: B015


def test_times_zero_leaves_nothing_to_judge(score: Score, accepted: Score) -> None:
    with pytest.raises(ComparisonError, match="not times 0"):
        score * 0
    with pytest.raises(TypeError, match="nothing to judge"):
        (score - accepted) * 0


def test_opposite_factors_do_not_compare(score: Score, accepted: Score) -> None:
    with pytest.raises(TypeError, match="one score grows while the other falls"):
        1 - score >= accepted  # noqa: B015


def test_keyword_forms_say_what_was_asked(score: Score, accepted: Score) -> None:
    claims = [
        score.at_least(0.8, confidence=0.99),
        score.at_most(0.9) if not score.metric.higher_is_better else score.at_least(0.9),
        score.no_worse_than(accepted),
        score.no_worse_than(accepted, margin=0.02, alpha=0.01),
        score.better_than(accepted, by=0.01),
        score.equivalent_to(accepted, margin=0.1),
    ]
    assert [verdict.record.claim for verdict in claims] == [
        "lora.accuracy.at_least(0.8, confidence=0.99)",
        "lora.accuracy.at_least(0.9)",
        "lora.accuracy.no_worse_than(release-1.4.accuracy, margin=0.01)",
        "lora.accuracy.no_worse_than(release-1.4.accuracy, margin=0.02, alpha=0.01)",
        "lora.accuracy.better_than(release-1.4.accuracy, by=0.01)",
        "lora.accuracy.equivalent_to(release-1.4.accuracy, margin=0.1)",
    ]


def test_an_explicit_confidence_requires_proof_in_every_policy(make: Any, score: Score) -> None:
    close = make.rate(make.right(447, 500), "previous")
    same = make.rate(make.right(448, 500), "same")
    assert score.at_least(0.84)
    assert not score.at_least(0.84, confidence=0.95)
    assert score.at_least(0.80, confidence=0.95)
    assert same.no_worse_than(close, margin=0.001)
    assert not same.no_worse_than(close, margin=0.001, confidence=0.90)
    assert same.no_worse_than(close, margin=0.03, confidence=0.90)
    assert same.better_than(close)
    assert not same.better_than(close, confidence=0.90)


def test_the_default_margin_is_that_of_the_session_or_the_metric(score: Score, accepted: Score) -> None:
    assert score.no_worse_than(accepted).record.margin == pytest.approx(0.01)
    with judging(Policy(margins={"accuracy": 0.08})):
        assert score.no_worse_than(accepted).record.margin == pytest.approx(0.08)


def test_relative_margins_are_shares_of_the_other_score(make: Any) -> None:
    tokens = np.full(50, 100.0)
    old = make.documents(np.linspace(200, 260, 50), tokens, "old")
    new = make.documents(np.linspace(200, 260, 50), tokens, "new")
    assert new.no_worse_than(old).record.margin == pytest.approx(0.02 * float(old))
    assert new.better_than(old, by=0.05).record.margin == pytest.approx(-0.05 * float(old))
    assert new.equivalent_to(old).record.margin == pytest.approx(0.02 * float(old))
    assert (abs(new - old) <= 0.1).record.margin == pytest.approx(0.1)


@pytest.mark.parametrize(
    "ask",
    [
        lambda score, base: score.no_worse_than(base, alpha=0.01, confidence=0.9),
        lambda score, base: score.no_worse_than(base, alpha=0.7),
        lambda score, base: score.better_than(base, confidence=1.0),
        lambda score, base: score.at_least(0.5, confidence=95),
    ],
)
def test_levels_of_confidence_must_make_sense(score: Score, accepted: Score, ask: Any) -> None:
    with pytest.raises(ComparisonError, match=r"between|not both"):
        ask(score, accepted)


def test_the_verdict_of_operands_is_found_again(score: Score, accepted: Score) -> None:
    level, change = score >= 0.9, score >= (shifted := accepted - 0.01)
    assert verdict_of(score, ">=", 0.9) is level
    assert verdict_of(0.9, "<=", score) is level
    assert verdict_of(score, ">=", shifted) is change
    assert verdict_of(shifted, "<=", score) is change
    assert verdict_of(score, ">=", 0.91) is None
    assert verdict_of(score, "==", 0.9) is None
    assert verdict_of(1, ">=", 2) is None


def test_the_verdict_is_remembered_for_each_operand_and_policy(score: Score) -> None:
    first = score >= 0.84
    assert (score >= 0.84) is first
    assert (score >= 0.80) is not first
    with judging(Policy(gate="release", primary=True)) as verdicts:
        assert not score >= 0.84
        assert (score >= 0.84) is not first
    assert len(verdicts) == 1


def test_comparisons_of_other_python_code_are_judged(score: Score) -> None:
    # unittest compares in Python code, which counts as written.
    from unittest import TestCase

    with judging(Policy()) as verdicts, pytest.raises(AssertionError):
        TestCase().assertGreaterEqual(score, 0.9)  # noqa: PT009
    assert [verdict.state for verdict in verdicts] == ["fail"]
