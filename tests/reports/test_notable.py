from __future__ import annotations

from dataclasses import replace

import pytest

from slmcheck.records import ExampleEvidence, Report, VerdictRecord
from slmcheck.reports.notable import costs, flip, notable_examples


def example(**fields: object) -> ExampleEvidence:
    return ExampleEvidence(**({"id": "1", "prompt": "p", "reference": "a", "answer": "a"} | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"correct": False, "old_correct": True}, "worse"),
        ({"correct": True, "old_correct": False}, "better"),
        ({"correct": False, "old_correct": False}, "wrong"),
        ({"correct": True}, "right"),
        ({"answer": "b", "old_answer": "a"}, "changed"),
        ({"answer": "b"}, "differs"),
        ({}, "right"),
    ],
)
def test_how_an_example_fared(fields: dict[str, object], kind: str) -> None:
    assert flip(example(**fields)) == kind


def test_examples_of_failed_claims_that_got_worse_come_first_and_once(report: Report) -> None:
    found = notable_examples(report, 100)
    assert [item.answer for item in found[:3]] == ["grateful", "grateful", "apologetic"]
    assert len({item.id for item in found}) == len(found)
    assert [flip(item) for item in found][-2:] == ["wrong", "differs"]


def test_right_answers_are_not_notable(report: Report) -> None:
    assert all(flip(item) not in ("right", "better") for item in notable_examples(report, 100))


def test_a_cost_metric_says_what_it_costs_now_and_before(report: Report) -> None:
    cost = replace(report.verdicts[1], metric="cost", unit="", value=0.42, target=0.35)
    assert isinstance(cost, VerdictRecord)
    assert costs(replace(report, verdicts=(cost,))) == ("cost of lora goes from 0.350 to 0.420 an example.",)
