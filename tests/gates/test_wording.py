"""The sentences, in the form that the design fixes."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from slmcheck.cli.commands import parser_of
from slmcheck.gates import Policy, judging


def lines_of(verdict: Any) -> tuple[str, ...]:
    return verdict.record.lines


def test_a_regression(make: Any) -> None:
    old = make.rate(make.right(449, 500), "release-1.4", is_baseline=True, run_key=None)
    new = make.rate(make.flipped(make.right(449, 500), lost=42, won=16), "lora-r8", run_key=None)
    assert lines_of(new >= old - 0.01) == (
        "FAIL  lora-r8.accuracy 0.846 vs release-1.4 0.898: change -5.2 points, 90 % CI -7.8 .. -2.8 (paired, n=500)",
        "REGRESSION: the drop is real (CI below 0) and larger than the 1 point allowed",
        "42 examples got worse, 16 got better; worst: ex0000, ex0001, ex0002, ex0003, ex0004",
        "accept: slmcheck baseline accept lora-r8",
        "next: slmcheck baseline diff lora-r8",
    )


def test_every_command_can_be_pasted(make: Any) -> None:
    old = make.rate(make.right(449, 500), "release-1.4", is_baseline=True, run_key=None)
    new = make.rate(make.flipped(make.right(449, 500), lost=42, won=16), "my lora", run_key=None)
    commands = [line.partition(": ")[2] for line in lines_of(new >= old - 0.01) if line.startswith(("next", "accept"))]
    assert [shlex.split(command) for command in commands] == [
        ["slmcheck", "baseline", "accept", "my lora"],
        ["slmcheck", "baseline", "diff", "my lora"],
    ]
    for command in commands:
        name, *rest = shlex.split(command)[1:]
        assert parser_of(name).parse_args(rest).run == "my lora"


def test_without_a_report_none_is_named(make: Any) -> None:
    old = make.rate(make.right(400, 500), "old", run_key=None)
    new = make.rate(make.flipped(make.right(400, 500), lost=26, won=24), "new", run_key=None)
    with judging(Policy(reported=False)):
        lines = lines_of(new >= old - 0.01)
    assert not [line for line in lines if line.startswith("next:")]
    assert lines[0].startswith("INCONCLUSIVE  change -0.4 points")


def test_an_inconclusive_comparison(make: Any) -> None:
    old = make.rate(make.right(400, 500), "old", run_key=None)
    new = make.rate(make.flipped(make.right(400, 500), lost=26, won=24), "new", run_key=None)
    assert lines_of(new >= old - 0.01) == (
        "INCONCLUSIVE  change -0.4 points, 90 % CI -2.8 .. +2.0, allowed 1.0: "
        "500 examples cannot tell; about 6,200 would",
        "new.accuracy 0.796 vs old 0.800 (paired, n=500)",
        "26 examples got worse, 24 got better; worst: ex0000, ex0001, ex0002, ex0003, ex0004",
        "next: slmcheck report latest --format html",
    )


def test_an_inconclusive_comparison_that_seeds_do_not_let_prove(make: Any) -> None:
    old, new = make.rate(make.right(400, 500), "old"), make.rate(make.right(400, 500), "new")
    lines = lines_of(new >= old - 0.01)
    assert lines[0] == "INCONCLUSIVE  change 0.0 points, 90 % CI -1.3 .. +1.3, allowed 1.0: 500 examples cannot tell"
    assert lines[1] == "new.accuracy 0.800 vs old 0.800 (paired, n=500, assuming seed sd 0.5 points)"
    assert lines[2] == (
        "more examples alone cannot prove it: training seeds vary as much; "
        "these examples can prove a margin of 1.8 points"
    )
    assert lines[-1] == "next: slmcheck compare old new --metric accuracy"


def test_a_margin_of_zero_is_said_to_be_unprovable(make: Any) -> None:
    old, new = make.rate(make.right(400, 500), "old"), make.rate(make.right(400, 500), "new")
    assert "a margin of 0 is never proven by a model that did not change" in "\n".join(lines_of(new >= old))


def test_a_proven_pass(make: Any) -> None:
    old = make.rate(make.right(4000, 5000), "old", run_key=None)
    new = make.rate(make.flipped(make.right(4000, 5000), lost=50, won=40), "new", run_key=None)
    assert lines_of(new >= old - 0.01)[:2] == (
        "PASS  proven: no more than 0.5 points worse (limit 1.0)",
        "new.accuracy 0.798 vs old 0.800: change -0.2 points, 90 % CI -0.5 .. +0.1 (paired, n=5000)",
    )


def test_a_pass_that_is_better_says_so(make: Any) -> None:
    old = make.rate(make.right(400, 500), "old", run_key=None)
    new = make.rate(make.flipped(make.right(400, 500), lost=0, won=50), "new", run_key=None)
    assert lines_of(new >= old - 0.01)[0] == "PASS  proven: at least 8.0 points better (limit 1.0 worse)"


@pytest.mark.parametrize(
    ("right", "of", "threshold", "first", "second"),
    [
        (
            183, 200, 0.900,
            "WEAK PASS  lora.accuracy 0.915 >= 0.900, not proven: 95 % CI 0.868 .. 0.946, n=200",
            "the interval contains 0.900: 200 examples cannot tell; about 4,000 would",
        ),
        (
            178, 200, 0.900,
            "WEAK FAIL  lora.accuracy 0.890 < 0.900, but not proven: 95 % CI 0.839 .. 0.926, n=200",
            "the interval contains 0.900: 200 examples cannot tell; about 5,400 would",
        ),
    ],
)  # fmt: skip
def test_weak_levels(make: Any, right: int, of: int, threshold: float, first: str, second: str) -> None:
    assert lines_of(make.rate(make.right(right, of)) >= threshold) == (
        first,
        second,
        "next: slmcheck report latest --format html",
    )


def test_a_level_at_its_threshold_gives_no_number_of_examples(make: Any) -> None:
    assert (
        lines_of(make.rate(make.right(180, 200)) >= 0.9)[1] == "the interval contains 0.900: 200 examples cannot tell"
    )


def test_levels_that_round_to_their_threshold_are_told_apart(make: Any) -> None:
    run = make.rate(make.right(8996, 10_000))
    assert "lora.accuracy 0.8996 < 0.9000" in lines_of(run >= 0.9)[0]


def test_improvements(make: Any) -> None:
    old = make.rate(make.right(400, 500), "lora.base", run_key=None)
    new = make.rate(make.flipped(make.right(400, 500), lost=0, won=50), "lora", run_key=None)
    assert lines_of(new > old)[0] == (
        "PASS  lora.accuracy 0.900 vs lora.base 0.800: change +10.0 points, 90 % CI +8.0 .. +12.4: "
        "proven better (paired, n=500)"
    )
    assert ": not better, proven (" in lines_of(old > new)[0]
    assert ": better by 9 points, but not proven (" in lines_of(new >= old + 0.09)[0]
    assert ": not better by 12 points, but not proven (" in lines_of(new >= old + 0.12)[0]
    assert lines_of(new > old)[-1] == "next: slmcheck report latest --format html"


def test_equivalence(make: Any) -> None:
    torch = make.rate(make.right(400, 500), "lora", run_key="k", checkpoint_key="a")
    onnx = make.rate(
        make.flipped(make.right(400, 500), lost=1, won=1), "lora.onnx(int8)", run_key="k", checkpoint_key="b"
    )
    lines = lines_of(onnx.equivalent_to(torch, margin=0.01))
    assert lines[0] == (
        "PASS  lora.onnx(int8).accuracy 0.800 vs lora 0.800: change 0.0 points, 90 % CI -0.7 .. +0.7: "
        "proven within 1 point (paired, n=500)"
    )
    assert lines[-1] == "next: slmcheck parity lora"


def test_a_slice_against_its_split_names_both(make: Any) -> None:
    right = np.arange(100) >= 30
    lines = lines_of(make.rate(right[:40], slice="short") >= make.rate(right) - 0.05)
    assert lines[0].startswith('FAIL  lora.slice("short").accuracy 0.250 vs lora.accuracy 1.000: change -75.0 points')
    assert "(unpaired, n=40 and 60" in lines[0]
    assert lines[-1] == "next: slmcheck report latest --format html"


def test_perplexity_in_percent(make: Any) -> None:
    tokens = np.full(200, 50.0)
    nats = tokens * np.random.default_rng(0).normal(2.5, 0.2, 200)
    old, new = make.documents(nats, tokens, "old"), make.documents(nats + 5.0, tokens, "new")
    lines = lines_of(new <= old * 1.02)
    assert lines[0].startswith("FAIL  new.perplexity ")
    assert "change +10.5 %, 90 % CI +7.5 .. +13.6 (paired, n=200, assuming seed sd 1.2 %)" in lines[0]
    assert lines[1] == "REGRESSION: the drop is real (CI above 0) and larger than the 2 % allowed"
    improved = lines_of(old <= new * 0.95)
    assert "better by 5 %, but not proven" not in improved[0]
    assert ": proven better by 5 % (" in improved[0]


def test_no_drop_is_allowed(make: Any) -> None:
    old = make.rate(make.right(400, 500), "old")
    new = make.rate(make.flipped(make.right(400, 500), lost=50, won=0), "new")
    assert lines_of(new >= old)[1] == "REGRESSION: the drop is real (CI below 0) and no drop is allowed"


def test_points_stay_points(make: Any) -> None:
    info = replace(make.bleu, seed_sd=None)
    rng = np.random.default_rng(1)
    old_values = rng.normal(30.0, 5.0, 300)
    old = make.rate(old_values, "old", metric=info)
    new = make.rate(old_values - rng.normal(2.0, 1.0, 300), "new", metric=info)
    first = lines_of(new >= old - 0.5)[0]
    assert first.startswith("FAIL  new.bleu 2")
    assert "change -2.0 points" in first or "change -1.9 points" in first or "change -2.1 points" in first
    assert "larger than the 0.5 points allowed" in lines_of(new >= old - 0.5)[1]
