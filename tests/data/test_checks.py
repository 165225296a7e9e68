"""Findings about rows, each planted once and absent from sound data."""

import pytest

from slmcheck.data import load_splits
from slmcheck.data.checks import check_rows
from slmcheck.data.splits import inspect
from slmcheck.records import SlicePredicate


def sound(count, start=0):
    return [{"phrase": f"phrase {n}", "tone": ("glad", "sad")[n * 7 % 3 % 2]} for n in range(start, start + count)]


@pytest.fixture
def findings(make_recipe, write_rows):
    def find(train, test=(), **fields):
        write_rows("train.jsonl", train)
        write_rows("test.jsonl", test or sound(40, 1000))
        write_rows("validation.jsonl", [{**train[0], **row} for row in sound(40, 2000)])
        recipe = make_recipe(test=("test.jsonl",), validation=("validation.jsonl",), **fields)
        return {finding.cause: finding for finding in check_rows(recipe, load_splits(recipe))}

    return find


def test_sound_rows_have_no_problem_and_no_warning(findings):
    assert {finding.cause: finding.severity for finding in findings(sound(200)).values()} == {"label-noise": "note"}


def test_evaluation_rows_among_the_training_rows_are_a_leak(findings):
    test = [{"phrase": f"  PHRASE {n}", "tone": "glad"} for n in range(4)] + sound(36, 1000)
    leak = findings(sound(200), test)["leaked-rows"]
    assert (leak.severity, len(leak.examples)) == ("problem", 4)
    assert leak.summary == "4 of 40 test rows (10.0%) have the input of a training row."
    assert leak.evidence[0].startswith("test.jsonl:1 = train.jsonl:1: “Phrase: PHRASE 0")


def test_few_leaked_rows_are_a_note(findings):
    test = [{"phrase": "phrase 1", "tone": "glad"}, *sound(49, 1000)]
    assert findings(sound(200), test)["leaked-rows"].severity == "note"


def test_equal_inputs_with_different_labels_bound_the_accuracy(findings):
    torn = [{"phrase": f"torn {n // 2}", "tone": ("glad", "sad")[n % 2]} for n in range(40)]
    conflict = findings(sound(160) + torn)["conflicting-labels"]
    assert conflict.severity == "problem"
    assert "no model can have an accuracy above 90.0%" in conflict.summary
    assert len(conflict.evidence) == 5
    assert "glad / " in conflict.evidence[0]


def test_different_answers_to_one_question_are_no_conflict_of_a_generation(findings):
    torn = [{"phrase": f"torn {n // 2}", "tone": f"answer {n}"} for n in range(40)]
    assert "conflicting-labels" not in findings(sound(160) + torn, task="generation")


def test_repeated_rows_are_counted(findings):
    repeated = findings(sound(100) + sound(20))["duplicate-rows"]
    assert repeated.severity == "warning"
    assert "repeat an earlier row" in repeated.summary


def test_a_majority_is_named_with_weights_that_balance_it(findings):
    rows = [{"phrase": f"p{n}", "tone": "sad" if n % 10 == 3 else "glad"} for n in range(200)]
    imbalance = findings(rows)["class-imbalance"]
    assert imbalance.summary.startswith("90.0% of the training rows are 'glad'")
    assert imbalance.recipe_patch == {"class_weights": {"glad": 0.556, "sad": 5.0}}


def test_small_and_absent_classes_are_named(findings):
    rows = [*sound(100), *({"phrase": f"rare {n}", "tone": "calm"} for n in range(4))]
    found = findings(rows)
    assert found["small-classes"].evidence == ("calm: 4 rows",)
    assert found["absent-classes"].evidence == ("calm",)


def test_a_file_sorted_by_label_is_noticed(findings):
    rows = [{"phrase": f"p{n}", "tone": "glad" if n < 100 else "sad"} for n in range(200)]
    assert findings(rows)["sorted-rows"].severity == "warning"


def test_optional_fields_that_are_empty_are_counted(findings):
    rows = [{**row, "note": "" if n % 2 else "x"} for n, row in enumerate(sound(100))]
    test = [{**row, "note": "x"} for row in sound(40, 1000)]
    empty = findings(rows, test, text_template="{phrase}{note}\nTone: {tone}")["empty-fields"]
    assert "Field 'note' is empty in" in empty.summary


def test_a_slice_without_rows_is_a_problem(findings):
    slices = {"long": SlicePredicate(field="phrase", min_words=50), "lost": SlicePredicate(field="Phrase", min_words=1)}
    assert findings(sound(100), slices=slices)["empty-slice"].severity == "problem"


def test_a_slice_of_a_field_that_no_row_has_says_so(findings):
    slices = {"lost": SlicePredicate(field="Phrase", min_words=1)}
    assert findings(sound(100), slices=slices)["empty-slice"].summary == (
        "Slice 'lost' holds no row of test. No row has its field 'Phrase'."
    )


def test_fields_that_the_template_does_not_use_are_named(findings):
    rows = [{**row, "channel": "mail", "who": "x"} for row in sound(100)]
    test = [{**row, "who": "x"} for row in sound(40, 1000)]
    unused = findings(rows, test, group="who")["unused-fields"]
    assert unused.summary == "The template does not use: channel."


def test_the_gravest_finding_comes_first(make_recipe, write_rows):
    rows = [{"phrase": f"p{n % 90}", "tone": "glad" if n < 100 else "sad", "extra": 1} for n in range(200)]
    write_rows("train.jsonl", rows)
    recipe = make_recipe()
    severities = [finding.severity for finding in check_rows(recipe, inspect(recipe).splits)]
    assert severities == sorted(severities, key=["problem", "warning", "note"].index)
    assert severities[0] == "problem"
