from __future__ import annotations

from dataclasses import replace

import pytest

from slmcheck.records import ExampleEvidence, Exemption, Report, RunReport, ScoreRecord
from slmcheck.reports.notable import decided, effects, flip, notable_examples


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


def test_answers_that_stayed_right_are_not_notable(report: Report) -> None:
    assert all(flip(item) != "right" for item in notable_examples(report, 100))


def only(run: RunReport, *examples: ExampleEvidence) -> Report:
    return Report(runs=(replace(run, examples=examples, scores=(), trend=()),))


def test_an_answer_that_got_better_is_noticed_before_one_that_stayed_wrong(report: Report) -> None:
    better = example(id="2", correct=True, old_correct=False)
    wrong = example(id="1", correct=False, old_correct=False)
    found = notable_examples(only(report.runs[0], wrong, better), 3)
    assert [item.id for item in found] == ["2", "1"]


def test_flips_are_counted_in_words(report: Report) -> None:
    flipped = [example(id=str(place), correct=False, old_correct=True) for place in range(3)]
    others = (
        example(id="b", correct=True, old_correct=False),
        example(id="c", correct=False, old_correct=False, answer="x", old_answer="y"),
        example(id="s", correct=True, old_correct=True, old_answer="a"),
    )
    assert effects(only(report.runs[0], *flipped, *others)) == (
        "Of 6 answers of phrase_tone/lora, 3 got worse, 1 got better and 1 changed otherwise since the baseline.",
    )


def test_nothing_flipped_is_said_too_and_without_a_baseline_nothing(report: Report) -> None:
    same = example(correct=True, old_correct=True, old_answer="a")
    assert effects(only(report.runs[0], same)) == ("Of 1 answer of phrase_tone/lora, none changed since the baseline.",)
    assert effects(only(report.runs[0], example(correct=True))) == ()


def test_a_cost_metric_of_any_name_says_what_mistakes_cost_now_and_before(report: Report) -> None:
    score = ScoreRecord(metric="service_fee", value=0.42, n=9, signature="cost|a>b:1.0|unparsable:None|version:1")
    run = replace(report.runs[0], scores=(score,), examples=())
    verdict = replace(report.verdicts[1], run=run.name, metric="service_fee", unit="", value=0.42, target=0.35)
    assert effects(Report(runs=(run,), verdicts=(verdict,))) == (
        "Mistakes of phrase_tone/lora cost 0.420 an example (service_fee), 0.350 before: 70 more for 1,000 examples.",
    )
    level = replace(verdict, target=0.5, target_name=None)
    assert effects(Report(runs=(run,), verdicts=(level,))) == (
        "Mistakes of phrase_tone/lora cost 0.420 an example (service_fee).",
    )


def test_another_metric_costs_nothing(report: Report) -> None:
    run = replace(report.runs[0], examples=())
    assert effects(replace(report, runs=(run,))) == ()


def test_decisions_are_told_with_their_reason_waivers_first(report: Report) -> None:
    quarantine = Exemption(kind="quarantined", until="2026-12-01", by="Bo")
    waiver = Exemption(kind="waived", until="2026-11-01", by="Ann", reason="the customer knows")
    verdicts = (replace(report.verdicts[2], exemption=quarantine), replace(report.verdicts[1], exemption=waiver))
    assert decided(replace(report, verdicts=verdicts)) == (
        "accuracy of lora: waived until 2026-11-01 by Ann: the customer knows.",
        "f1 of lora: quarantined until 2026-12-01, owner Bo.",
    )
    assert decided(report) == ()
