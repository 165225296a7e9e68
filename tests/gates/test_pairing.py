"""Which examples are compared: pairs, intersections, slices, baselines, edited references."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from slmcheck.errors import BaselineMismatchError
from slmcheck.gates import Policy, judging


def test_another_order_of_the_same_examples_is_paired(make: Any) -> None:
    right = make.flipped(make.right(80, 100), lost=5, won=2)
    backwards = make.rate(right[::-1], ids=make.ids(100)[::-1])
    record = (backwards >= make.rate(make.right(80, 100), "old") - 0.1).record
    assert record.paired
    assert record.change == pytest.approx(-0.03)


def test_a_baseline_with_80_percent_in_common_is_compared_on_the_intersection(make: Any) -> None:
    baseline = make.rate(make.right(80, 100), "baseline", is_baseline=True)
    new = make.rate(make.right(60, 90), ids=make.ids(120)[20:110])
    record = (new >= baseline - 0.5).record
    assert (record.paired, record.n) == (True, 80)
    assert (record.value, record.target) == pytest.approx((60 / 90, 60 / 80))
    assert record.change == pytest.approx(0.0)
    assert any("compared on the 80 examples that both have (of 90 and 100)" in line for line in record.lines)


@pytest.mark.parametrize("policy", [Policy(), Policy(gate="release", primary=True)])
def test_a_baseline_with_less_in_common_is_a_mismatch_in_every_policy(make: Any, policy: Policy) -> None:
    baseline = make.rate(make.right(80, 100), "baseline", is_baseline=True)
    new = make.rate(make.right(60, 100), ids=make.ids(121)[21:])
    with judging(policy), pytest.raises(BaselineMismatchError) as failure:
        new >= baseline - 0.1  # noqa: B015
    assert "share 79 of 100 examples" in str(failure.value)
    assert "slmcheck baseline accept lora" in str(failure.value)


def test_another_signature_is_a_mismatch(make: Any) -> None:
    other = replace(make.accuracy, signature="accuracy|version:2")
    baseline = make.rate(make.right(80, 100), "baseline", metric=other, is_baseline=True)
    with pytest.raises(BaselineMismatchError, match="different signatures") as failure:
        make.rate(make.right(80, 100)) >= baseline - 0.1  # noqa: B015
    assert "accuracy|version:1; baseline.accuracy: accuracy|version:2" in str(failure.value)
    assert "slmcheck baseline accept lora" in str(failure.value)
    with pytest.raises(BaselineMismatchError, match="same version of the metric"):
        make.rate(make.right(80, 100)) >= make.rate(make.right(8, 10), "old", metric=other)  # noqa: B015


def test_edited_references_are_a_mismatch_unless_answers_can_be_measured_again(make: Any) -> None:
    hashes = [f"hash{i}" for i in range(100)]
    edited = ["new label", *hashes[1:]]
    run = make.rate(make.right(80, 100), hashes=edited)
    baseline = make.rate(make.right(80, 100), "baseline", hashes=hashes, is_baseline=True)
    with pytest.raises(BaselineMismatchError) as failure:
        run >= baseline - 0.1  # noqa: B015
    assert "references of 1 examples differ" in str(failure.value)
    assert "ex0000" in str(failure.value)
    assert "cannot be measured again from stored answers alone" in str(failure.value)


def test_a_baseline_is_measured_again_from_its_answers(make: Any) -> None:
    hashes = [f"hash{i}" for i in range(100)]
    edited = ["new label", *hashes[1:]]
    again = make.rate(make.flipped(make.right(80, 100), lost=1, won=0), "baseline", hashes=edited).evidence
    baseline = make.rate(make.right(80, 100), "baseline", hashes=hashes, is_baseline=True, remeasure=lambda: again)
    run = make.rate(make.right(80, 100), hashes=edited)
    record = (run >= baseline - 0.1).record
    assert record.target == pytest.approx(0.79)
    assert record.change == pytest.approx(0.01)
    assert any("the baseline was measured again" in note for note in record.notes)


def test_answers_that_cannot_be_measured_again_are_a_mismatch(make: Any) -> None:
    baseline = make.rate(make.right(8, 10), "baseline", hashes=["a"] * 10, is_baseline=True, remeasure=lambda: None)
    with pytest.raises(BaselineMismatchError, match="references of 10 examples differ"):
        make.rate(make.right(8, 10), hashes=["b"] * 10) >= baseline  # noqa: B015


def test_different_example_sets_compare_unpaired_and_say_so(make: Any) -> None:
    old = make.rate(make.right(80, 100), "old")
    new = make.rate(make.right(150, 200), ids=[f"other{i}" for i in range(200)])
    record = (new >= old - 0.5).record
    assert not record.paired
    assert any("unpaired, n=200 and 100" in line for line in record.lines)
    assert any("share 0 of 200 and 100 examples: compared unpaired" in note for note in record.notes)


def test_two_runs_that_share_most_examples_are_paired_on_them(make: Any) -> None:
    record = (make.rate(make.right(70, 95)) >= make.rate(make.right(80, 100), "old") - 0.5).record
    assert (record.paired, record.n) == (True, 95)


def test_a_slice_is_compared_with_the_rest_of_the_split_that_contains_it(make: Any) -> None:
    right = np.zeros(100, dtype=bool)
    right[:10] = True
    right[30:100] = True
    whole = make.rate(right)
    part = make.rate(right[:30], slice="short")
    record = (part >= whole - 0.05).record
    assert record.target == pytest.approx(1.0)  # the other 70 examples
    assert record.change == pytest.approx(10 / 30 - 1.0)
    assert record.state == "fail"
    assert any("compared with the other 70 examples" in note for note in record.notes)


def test_a_split_is_compared_with_a_slice_of_it_the_same_way(make: Any) -> None:
    right = make.right(60, 100)
    record = (make.rate(right) >= make.rate(right[:30], slice="short") - 0.9).record
    assert (record.target, record.change) == pytest.approx((1.0, 30 / 70 - 1.0))


def test_slices_that_overlap_are_unpaired_with_their_common_examples_counted_once(make: Any) -> None:
    right = np.random.default_rng(0).random(300) < 0.8
    first, second = make.rate(right[:200], slice="a"), make.rate(right[100:], slice="b", ids=make.ids(300)[100:])
    apart = make.rate(right[100:], slice="b", ids=[f"copy{i}" for i in range(200)])
    shared, separate = (first >= second - 0.5).record, (first >= apart - 0.5).record
    assert not shared.paired
    assert shared.change_high - shared.change_low < separate.change_high - separate.change_low


def test_a_slice_against_the_same_slice_of_a_baseline_is_paired(make: Any) -> None:
    baseline = make.rate(make.right(20, 30), "baseline", is_baseline=True, slice="short")
    assert (make.rate(make.right(20, 30), slice="short") >= baseline - 0.1).record.paired
