from __future__ import annotations

import re
from dataclasses import replace

import pytest

from slmcheck.records import ExampleEvidence, Report, RunReport
from slmcheck.reports.page.examples import BYTES, ROWS_OF_A_PART, example_card, example_section
from slmcheck.reports.prepared import prepare


def example(number: int, **fields: object) -> ExampleEvidence:
    values = {"id": f"e{number}", "prompt": f"prompt {number}", "reference": "a", "answer": "a"}
    return ExampleEvidence(**(values | fields))  # type: ignore[arg-type]


def section(run: RunReport, *examples: ExampleEvidence) -> str:
    return example_section(Report(runs=(replace(run, examples=examples),)))


def marks(text: str) -> list[str]:
    return re.findall(r'data-is="(..)"', text)


@pytest.fixture(scope="module")
def run(module_report: Report) -> RunReport:
    return module_report.runs[0]


def test_every_example_is_a_row_of_a_table_without_any_script(run: RunReport) -> None:
    text = section(run, *(example(number, correct=True) for number in range(250)))
    assert text.count("<tbody>") == 3
    assert f"Examples 1 to {ROWS_OF_A_PART}" in text
    assert "Examples 201 to 250" in text
    assert all(f"<td>prompt {number}</td>" in text for number in range(250))


def test_rows_say_by_two_letters_how_an_answer_fared(run: RunReport) -> None:
    text = section(
        run,
        example(1, correct=False, old_correct=True, old_answer="a", answer="b"),
        example(2, answer="b", old_answer="c"),
        example(3, correct=False, old_correct=False, answer="b", old_answer="c"),
        example(4, correct=False, answer="b"),
        example(5, correct=True, old_correct=False, old_answer="b"),
        example(6, correct=True, old_correct=True, old_answer="a"),
    )
    assert marks(text) == ["ww", "oc", "wc", "wn", "rb", "rs"]


def test_the_worst_stand_first(run: RunReport) -> None:
    text = section(
        run, example(1, correct=True), example(2, correct=False), example(3, correct=False, old_correct=True)
    )
    assert re.findall(r"prompt (\d)", text) == ["3", "2", "1"]


def test_the_column_of_earlier_answers_is_there_when_one_is_known(run: RunReport) -> None:
    assert '<th scope="col">before</th>' not in section(run, example(1, correct=True))
    assert "Since the baseline" not in section(run, example(1, correct=True))
    assert '<th scope="col">before</th>' in section(run, example(1, correct=True, old_answer="b"))


def test_slices_and_gates_can_be_chosen(module_report: Report) -> None:
    text = example_section(prepare(module_report))
    choices = dict(re.findall(r'<select id="(\w+)">(.*?)</select>', text))
    assert list(choices) == ["verdict", "flip", "run", "slice", "gate"]
    assert re.findall(r'value="(\d)">(\w+)', choices["slice"]) == [("0", "long"), ("1", "short")]
    assert '<option value="0,">✗ fail: accuracy ≥ 0.898 release-1.4 (phrase_tone/lora)</option>' in choices["gate"]
    assert '<option value="0,1">' in choices["gate"]
    assert "agreement" not in choices["gate"]


def test_the_answer_of_the_baseline_counts_before_that_of_a_comparison(module_report: Report) -> None:
    run, verdict = module_report.runs[0], module_report.verdicts[1]
    shown = example(1, correct=False, old_correct=True, old_answer="of the base model", answer="b")
    mine = example(1, correct=False, old_correct=False, old_answer="of the baseline", answer="b", slices=("short",))
    judged = replace(verdict, run=run.name, examples=(shown,))
    with_baseline = Report(runs=(replace(run, examples=(mine,)),), verdicts=(judged,))
    assert "of the baseline" in example_section(with_baseline)
    assert "of the base model" not in example_section(with_baseline)
    without = replace(mine, old_answer=None, old_correct=None)
    text = example_section(Report(runs=(replace(run, examples=(without,)),), verdicts=(judged,)))
    assert "of the base model" in text
    assert "<i>short</i>" in text


def test_ten_thousand_long_examples_are_shortened_not_left_out(run: RunReport) -> None:
    text = section(run, *(example(number, prompt=f"{number} " + "word " * 200) for number in range(10_000)))
    assert len(text.encode()) < BYTES * 1.02
    assert len(marks(text)) == 10_000
    assert re.search(r"Longer texts are cut to \d+ characters; report\.json has them in full\.", text)


def test_what_does_not_fit_even_then_is_counted(run: RunReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slmcheck.reports.page.examples.BYTES", 2_000)
    text = section(run, *(example(number, prompt="word " * 200) for number in range(50)))
    shown = len(marks(text))
    assert 0 < shown < 50
    assert f"{50 - shown} further examples are in report.json." in text


def test_an_empty_answer_is_said_to_be_empty(run: RunReport) -> None:
    assert "<td>(empty)</td>" in section(run, example(1, answer=""))
    assert "<dd>(empty)</dd>" in example_card(example(1, answer=""))


def test_markup_in_data_stays_text(run: RunReport) -> None:
    text = section(run, example(1, answer="<script>x</script>", slices=('"><b onclick=x>',)))
    assert "<script" not in text
    assert "<b onclick" not in text


def test_a_report_without_examples_has_no_such_section(run: RunReport) -> None:
    assert section(run) == ""
