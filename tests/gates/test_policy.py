"""Where verdicts are collected and by which policy they are judged."""

from __future__ import annotations

import threading
from contextvars import copy_context
from typing import Any

from slmcheck.gates import Policy, active_policy, judging


def test_outside_of_a_block_the_dev_policy_judges_and_nothing_is_kept(make: Any) -> None:
    assert active_policy() == Policy()
    assert make.rate(make.right(8, 10)) >= 0.5


def test_every_comparison_of_a_block_is_kept_in_order(make: Any) -> None:
    run = make.rate(make.right(423, 500))
    with judging(Policy()) as verdicts:
        assert run >= 0.5
        assert run.at_least(0.6)
        assert not run >= 0.9
    assert [verdict.record.claim for verdict in verdicts] == [
        "lora.accuracy >= 0.5",
        "lora.accuracy.at_least(0.6)",
        "lora.accuracy >= 0.9",
    ]


def test_a_comparison_in_a_condition_is_kept_as_well(make: Any) -> None:
    run = make.rate(make.right(423, 500))
    with judging(Policy()) as verdicts:
        values = [1 if run >= bar else 0 for bar in (0.5, 0.9)]
    assert values == [1, 0]
    assert len(verdicts) == 2


def test_blocks_nest_and_end_with_an_exception(make: Any) -> None:
    run = make.rate(make.right(423, 500))
    with judging(Policy(alpha=0.01)) as outer:
        try:
            with judging(Policy(alpha=0.02)) as inner:
                assert active_policy().alpha == 0.02
                assert run >= 0.5
                raise KeyError
        except KeyError:
            assert active_policy().alpha == 0.01
    assert (len(outer), len(inner)) == (0, 1)
    assert active_policy() == Policy()


def test_a_thread_takes_part_with_a_copy_of_the_context(make: Any) -> None:
    run = make.rate(make.right(423, 500))
    with judging(Policy()) as verdicts:
        context = copy_context()
        thread = threading.Thread(target=lambda: context.run(run.at_least, 0.5))
        thread.start()
        thread.join()
    assert len(verdicts) == 1


def test_only_primary_claims_of_a_release_need_proof() -> None:
    policies = [Policy(gate=gate, primary=primary) for gate in ("dev", "release") for primary in (False, True)]
    assert [policy.requires_proof for policy in policies] == [False, False, False, True]
