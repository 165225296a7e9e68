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
def run(make: Any) -> Score:
    return make.rate(make.flipped(make.right(449, 500), lost=42, won=16), "lora")


@pytest.fixture
def baseline(make: Any) -> Score:
    return make.rate(make.right(449, 500), "release-1.4", is_baseline=True)


def test_a_score_is_a_number_everywhere_else(run: Score) -> None:
    assert json.dumps({"accuracy": run}) == '{"accuracy": 0.846}'
    assert f"{run:.2f} {run} {run!s}" == "0.85 0.846 0.846"
    assert round(run, 2) == 0.85
    assert type(round(run, 2)) is float
    assert {0.846: "found"}[run] == "found"
    assert run == 0.846
    assert run == pytest.approx(0.85, abs=0.01)
    assert math.sqrt(run) == math.sqrt(0.846)
    assert np.mean([run, 0.846]) == 0.846
    assert np.sqrt(run) == np.sqrt(0.846)
    assert run != 0.9


def test_a_score_says_what_it_is(run: Score) -> None:
    assert repr(run) == "lora.accuracy 0.846"
    assert run.n == 500
    assert run.interval == pytest.approx((0.8117, 0.8750), abs=1e-3)
    assert run.metric.name == "accuracy"
    assert run.source.name == "lora"
    assert run.evidence is not None


def test_copies_are_plain_numbers(run: Score) -> None:
    assert type(copy.copy(run)) is float
    assert type(copy.deepcopy(run)) is float
    assert pickle.loads(pickle.dumps(run)) == 0.846


def test_a_value_that_is_no_number_is_refused(make: Any) -> None:
    with pytest.raises(UndefinedScoreError, match="accuracy of lora is nan"):
        Score(float("nan"), metric=make.accuracy, source=ScoreSource(name="lora"))


def test_the_right_operand_decides_what_is_judged(run: Score, baseline: Score) -> None:
    kinds = {
        "level": run >= 0.8,
        "no_worse": run >= baseline - 0.06,
        "better": run > baseline,
        "better_by": run >= baseline + 0.01,
    }
    assert {name: verdict.record.kind for name, verdict in kinds.items()} == {name: name for name in kinds}


def test_no_subtraction_is_margin_zero(run: Score, baseline: Score) -> None:
    record = (run >= baseline).record
    assert record.kind == "no_worse"
    assert record.margin == 0.0
    assert record.state == "fail"


@pytest.mark.parametrize("number", [0.9, np.float64(0.9), np.float32(0.9)])
def test_reflected_comparisons_judge_the_same(run: Score, number: float) -> None:
    verdict = number <= run
    assert verdict.record.kind == "level"  # type: ignore[attr-defined]
    assert not verdict


def test_a_baseline_on_the_left_is_still_the_baseline(run: Score, baseline: Score) -> None:
    left, right = (baseline - 0.01 <= run).record, (run >= baseline - 0.01).record
    assert left.claim == "release-1.4.accuracy - 0.01 <= lora.accuracy"
    assert (left.run, left.change, left.state) == (right.run, right.change, right.state)


def test_both_sides_may_be_moved(run: Score, baseline: Score) -> None:
    assert (run + 0.01 >= baseline).record.margin == pytest.approx(0.01)
    assert (run * 2 >= baseline * 2 - 0.02).record.margin == pytest.approx(0.01)
    assert (run >= baseline * 0.98).record.margin == pytest.approx(0.02 * 0.898)
    assert (run >= 0.98 * baseline).record.margin == pytest.approx(0.02 * 0.898)
    assert (run / 0.5 >= baseline / 0.5).record.margin == pytest.approx(0.0)


def test_one_minus_a_score_turns_the_direction(run: Score) -> None:
    verdict = 1 - run <= 0.2
    assert verdict
    assert verdict.record.claim == "1 - lora.accuracy <= 0.2"
    assert verdict.record.target == pytest.approx(0.8)
    assert (1 - run).interval == pytest.approx((1 - 0.8750, 1 - 0.8117), abs=1e-3)
    assert -run <= -0.8


def test_a_chain_judges_each_bound(run: Score, baseline: Score) -> None:
    with judging(Policy()) as verdicts:
        assert 0.8 <= run >= baseline - 0.06
    assert [verdict.record.kind for verdict in verdicts] == ["level", "no_worse"]


def test_a_bound_in_the_wrong_direction_raises(make: Any, run: Score, baseline: Score) -> None:
    with pytest.raises(ComparisonError, match="asks for a worse score: accuracy is better when higher"):
        run <= 0.9  # noqa: B015
    with pytest.raises(ComparisonError, match="written with >=, not with <"):
        run < baseline  # noqa: B015
    perplexity = make.documents(np.array([10.0, 20.0, 31.0]), np.array([10.0, 20.0, 30.0]))
    with pytest.raises(ComparisonError, match="better when lower"):
        perplexity >= 3.0  # noqa: B015
    with pytest.raises(ComparisonError, match="not a number"):
        run >= float("nan")  # noqa: B015


def test_without_a_baseline_the_better_side_is_the_claim(make: Any, run: Score) -> None:
    base = make.rate(make.right(300, 500), "lora.base", run_key=None)
    record = (base < run).record
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


def test_a_difference_is_judged_like_the_comparison_it_rearranges(run: Score, baseline: Score) -> None:
    change = run - baseline
    assert isinstance(change, Change)
    assert change == pytest.approx(-0.052)
    plain = (run >= baseline - 0.06).record
    for verdict in (
        change >= -0.06,
        change >= -0.06,
        baseline - run <= 0.06,
        change + 0.06 >= 0,
        100 * change >= -6,
        -change <= 0.06,
        0.06 - (baseline - run) >= 0,
        change / 2 >= -0.03,
    ):
        record = verdict.record
        assert (record.kind, record.state, record.run) == ("no_worse", plain.state, "lora")
        assert record.margin == pytest.approx(0.06)
    assert (change > 0).record.kind == "better"
    assert (change >= 0.02).record.kind == "better_by"
    assert repr(change) == "lora.accuracy - release-1.4.accuracy -0.052"


def test_a_distance_is_a_claim_of_equivalence(run: Score, make: Any) -> None:
    other = make.rate(make.flipped(make.right(449, 500), lost=43, won=17), "other")
    verdict = abs(run - other) <= 0.05
    assert verdict.record.kind == "equivalent"
    assert verdict.proven
    assert not abs(run - make.rate(make.right(449, 500), "far")) <= 0.005
    with pytest.raises(TypeError, match="a distance is judged as"):
        abs(run - other) >= 0.05  # noqa: B015
    assert type(abs(run - other + 0.1)) is float


def test_sorting_and_extremes_go_by_value_and_record_nothing(run: Score, baseline: Score) -> None:
    with judging(Policy(gate="release", primary=True)) as verdicts:
        assert max(run, baseline) is baseline
        assert min(run, baseline) is run
        assert sorted([baseline, run]) == [run, baseline]
        assert max([run, 0.5]) is run
        assert operator.lt(run, baseline) is True
        assert all(map(operator.ge, [run], [0.1]))
    assert verdicts == []


def test_other_metrics_are_refused_with_a_sentence(make: Any, run: Score) -> None:
    perplexity = make.documents(np.array([10.0, 20.0, 31.0]), np.array([10.0, 20.0, 30.0]), "other")
    with pytest.raises(TypeError, match=r"lora.accuracy and other.perplexity cannot be compared"):
        run > perplexity  # noqa: B015
    with pytest.raises(TypeError, match="cannot be subtracted"):
        run - perplexity


@pytest.mark.parametrize("combine", [operator.add, operator.mul, operator.truediv])
def test_arithmetic_that_would_lose_the_evidence_is_refused(run: Score, baseline: Score, combine: Any) -> None:
    with pytest.raises(TypeError, match="no evidence to judge"):
        combine(run, baseline)
    with pytest.raises(TypeError):
        combine(run - baseline, run)


def test_a_score_and_a_change_do_not_compare(run: Score, baseline: Score) -> None:
    with pytest.raises(TypeError, match="compare"):
        run >= run - baseline  # noqa: B015
    with pytest.raises(TypeError, match="compare it with a number"):
        (run - baseline) >= run  # noqa: B015
    with pytest.raises(TypeError, match="'>=' not supported"):
        run >= "0.9"  # type: ignore[operator]  # noqa: B015


def test_times_zero_leaves_nothing_to_judge(run: Score, baseline: Score) -> None:
    with pytest.raises(ComparisonError, match="not times 0"):
        run * 0
    with pytest.raises(TypeError, match="nothing to judge"):
        (run - baseline) * 0


def test_opposite_factors_do_not_compare(run: Score, baseline: Score) -> None:
    with pytest.raises(TypeError, match="one score grows while the other falls"):
        1 - run >= baseline  # noqa: B015


def test_keyword_forms_say_what_was_asked(run: Score, baseline: Score) -> None:
    claims = [
        run.at_least(0.8, confidence=0.99),
        run.at_most(0.9) if not run.metric.higher_is_better else run.at_least(0.9),
        run.no_worse_than(baseline),
        run.no_worse_than(baseline, margin=0.02, alpha=0.01),
        run.better_than(baseline, by=0.01),
        run.equivalent_to(baseline, margin=0.1),
    ]
    assert [verdict.record.claim for verdict in claims] == [
        "lora.accuracy.at_least(0.8, confidence=0.99)",
        "lora.accuracy.at_least(0.9)",
        "lora.accuracy.no_worse_than(release-1.4.accuracy, margin=0.01)",
        "lora.accuracy.no_worse_than(release-1.4.accuracy, margin=0.02, alpha=0.01)",
        "lora.accuracy.better_than(release-1.4.accuracy, by=0.01)",
        "lora.accuracy.equivalent_to(release-1.4.accuracy, margin=0.1)",
    ]


def test_an_explicit_confidence_requires_proof_in_every_policy(make: Any, run: Score) -> None:
    close = make.rate(make.right(447, 500), "previous")
    same = make.rate(make.right(448, 500), "same")
    assert run.at_least(0.84)
    assert not run.at_least(0.84, confidence=0.95)
    assert run.at_least(0.80, confidence=0.95)
    assert same.no_worse_than(close, margin=0.001)
    assert not same.no_worse_than(close, margin=0.001, confidence=0.90)
    assert same.no_worse_than(close, margin=0.03, confidence=0.90)
    assert same.better_than(close)
    assert not same.better_than(close, confidence=0.90)


def test_the_default_margin_is_that_of_the_session_or_the_metric(run: Score, baseline: Score) -> None:
    assert run.no_worse_than(baseline).record.margin == pytest.approx(0.01)
    with judging(Policy(margins={"accuracy": 0.08})):
        assert run.no_worse_than(baseline).record.margin == pytest.approx(0.08)


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
        lambda run, base: run.no_worse_than(base, alpha=0.01, confidence=0.9),
        lambda run, base: run.no_worse_than(base, alpha=0.7),
        lambda run, base: run.better_than(base, confidence=1.0),
        lambda run, base: run.at_least(0.5, confidence=95),
    ],
)
def test_levels_of_confidence_must_make_sense(run: Score, baseline: Score, ask: Any) -> None:
    with pytest.raises(ComparisonError, match=r"between|not both"):
        ask(run, baseline)


def test_the_verdict_of_operands_is_found_again(run: Score, baseline: Score) -> None:
    level, change = run >= 0.9, run >= (shifted := baseline - 0.01)
    assert verdict_of(run, ">=", 0.9) is level
    assert verdict_of(0.9, "<=", run) is level
    assert verdict_of(run, ">=", shifted) is change
    assert verdict_of(shifted, "<=", run) is change
    assert verdict_of(run, ">=", 0.91) is None
    assert verdict_of(run, "==", 0.9) is None
    assert verdict_of(1, ">=", 2) is None


def test_the_verdict_is_remembered_for_each_operand_and_policy(run: Score) -> None:
    first = run >= 0.84
    assert (run >= 0.84) is first
    assert (run >= 0.80) is not first
    with judging(Policy(gate="release", primary=True)) as verdicts:
        assert not run >= 0.84
        assert (run >= 0.84) is not first
    assert len(verdicts) == 1


def test_comparisons_of_other_python_code_are_judged(run: Score) -> None:
    # unittest compares in Python code, which counts as written.
    from unittest import TestCase

    with judging(Policy()) as verdicts, pytest.raises(AssertionError):
        TestCase().assertGreaterEqual(run, 0.9)  # noqa: PT009
    assert [verdict.state for verdict in verdicts] == ["fail"]
