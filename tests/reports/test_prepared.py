from __future__ import annotations

from dataclasses import replace

from slmcheck.records import Report
from slmcheck.reports.prepared import prepare


def test_verdicts_of_two_suites_with_one_stem_go_to_the_run_with_their_key(report: Report) -> None:
    runs = [verdict.run for verdict in prepare(report).verdicts]
    assert runs == ["phrase_tone/lora"] * 7 + ["faq_answers/lora"] * 5


def test_a_verdict_of_an_export_says_so_in_its_metric(report: Report) -> None:
    assert [verdict.metric for verdict in prepare(report).verdicts][6] == "agreement (onnx fp32)"


def test_what_was_compared_with_is_named_without_its_metric(report: Report) -> None:
    names = [verdict.target_name for verdict in prepare(report).verdicts]
    assert names[1] == "release-1.4"
    assert names[3] == "base model"


def test_preparing_twice_changes_nothing(report: Report) -> None:
    assert prepare(prepare(report)) == prepare(report)


def test_a_verdict_of_an_unknown_run_stays_as_it_is(report: Report) -> None:
    lost = replace(report.verdicts[0], run="other", run_key="0")
    assert prepare(replace(report, verdicts=(lost,))).verdicts == (lost,)


def test_answers_of_a_classification_are_marked_right_or_wrong(report: Report) -> None:
    bare = tuple(replace(example, correct=None, old_correct=None) for example in report.runs[0].examples)
    run = prepare(replace(report, runs=(replace(report.runs[0], examples=bare),))).runs[0]
    assert run.examples == report.runs[0].examples


def test_generated_answers_are_not_marked(report: Report) -> None:
    assert all(example.correct is None for example in prepare(report).runs[1].examples)
