from __future__ import annotations

from dataclasses import replace

from slmcheck.records import Report
from slmcheck.reports.prepared import prepare
from slmcheck.reports.rows import (
    by_run,
    explanation,
    facts,
    moment,
    score_rows,
    settings,
    suite_of,
    verdict_row,
    verdict_rows,
)


def test_a_comparison_shows_the_interval_of_its_change(report: Report) -> None:
    row = verdict_row(prepare(report).verdicts[1])
    assert (row.symbol, row.word, row.value, row.interval) == ("✗", "fail", "0.846", "−7.8 .. −2.6 points")
    assert (row.criterion, row.margin, row.change) == ("≥ 0.898 release-1.4", "1 point", "−5.2 points")


def test_a_level_shows_the_interval_of_its_value(report: Report) -> None:
    row = verdict_row(report.verdicts[0])
    assert (row.word, row.interval, row.criterion, row.margin) == ("pass", "0.811 .. 0.876", "≥ 0.800", "–")


def test_what_is_not_proven_is_weak(report: Report) -> None:
    assert verdict_row(report.verdicts[4]).word == "weak fail"
    assert verdict_row(report.verdicts[5]).word == "weak pass"
    assert verdict_row(report.verdicts[2]).word == "inconclusive"


def test_every_kind_of_claim_has_a_criterion(report: Report) -> None:
    base = prepare(report).verdicts[1]
    kinds = {
        "better": "> 0.898 release-1.4",
        "better_by": "> 0.898 release-1.4",
        "equivalent": "= 0.898 release-1.4",
        "exact": "against 0.898 release-1.4",
        "finding": "no problem",
    }
    assert {kind: verdict_row(replace(base, kind=kind)).criterion for kind in kinds} == kinds  # type: ignore[arg-type]
    assert verdict_row(replace(base, kind="better_by")).margin == "+ 1 point"
    assert verdict_row(replace(base, kind="equivalent")).margin == "± 1 point"


def test_rows_start_with_what_failed(report: Report) -> None:
    words = [row.word for row in verdict_rows(report.verdicts)]
    assert words[:4] == ["fail", "weak fail", "inconclusive", "accepted"]


def test_verdicts_are_grouped_by_run_even_when_the_run_is_lost(report: Report) -> None:
    lost = replace(report.verdicts[0], run="gone", run_key=None)
    groups = by_run(prepare(replace(report, verdicts=(*report.verdicts, lost))))
    assert [(name, len(found)) for name, found in groups] == [
        ("phrase_tone/lora", 7),
        ("faq_answers/lora", 5),
        ("gone", 1),
    ]


def test_the_explanation_does_not_repeat_its_notes(report: Report) -> None:
    verdict = replace(report.verdicts[0], lines=("a", "b"), notes=("b", "c"))
    assert explanation(verdict) == ("a", "b", "c")


def test_scores_stand_beside_those_of_the_base_model_and_trivial_answers(report: Report) -> None:
    row = score_rows(report.runs[0])[0]
    assert row.base is not None
    assert row.base.value == 0.275
    assert [(name, score.value) for name, score in row.trivial] == [("majority", 0.167), ("TF-IDF", 0.731)]


def test_a_slice_is_not_compared_with_the_whole(report: Report) -> None:
    assert score_rows(report.runs[0])[4].base is None


def test_facts_leave_out_what_is_not_known(report: Report) -> None:
    known = dict(facts(report.runs[0]))
    assert known["rows"] == "957 train, 169 validation, 480 test"
    assert known["trained parameters"] == "98,304 of 2,310,144 (4.3 %)"
    assert known["trained on"] == "cuda, torch 2.13.0 (not this machine)"
    assert "engine" not in dict(facts(report.runs[1]))


def test_small_formats(report: Report) -> None:
    assert moment("2026-03-02T09:24:10Z") == moment("2026-03-02T09:24:10+00:00") == "2026-03-02 09:24 UTC"
    assert moment("yesterday") == "yesterday"
    assert suite_of("a/b/lora") == "a/b"
    assert suite_of("lora") == "lora"
    assert ("options", '{"r": 16, "lora_alpha": 32}') in settings(report.runs[0])
