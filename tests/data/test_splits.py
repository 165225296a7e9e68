"""What a recipe's data may be, and the one message that bad data gets."""

import pytest

from slmcheck.data import ProblemsError, inspect, load_examples, load_splits, train_subset
from slmcheck.errors import DataError


def rows(count: int, start: int = 0):
    return [{"phrase": f"phrase {n}", "tone": ("glad", "sad")[n % 2]} for n in range(start, start + count)]


def test_a_share_of_the_training_rows_validates(make_recipe, write_rows):
    write_rows("train.jsonl", rows(100))
    splits = load_splits(make_recipe())
    assert (len(splits.train), len(splits.validation), splits.test) == (85, 15, ())


def test_validation_may_be_a_file_or_a_part_of_one(make_recipe, write_rows):
    write_rows("train.jsonl", rows(20))
    recipe = make_recipe(train=("train.jsonl[:80%]",), validation=("train.jsonl[80%:]",))
    splits = load_splits(recipe)
    assert [len(splits.of(name)) for name in ("train", "validation")] == [16, 4]


def test_scores_are_of_test_rows_else_of_validation_rows(make_recipe, write_rows):
    write_rows("train.jsonl", rows(20))
    write_rows("test.jsonl", rows(4, 100))
    with_test, without = make_recipe(test=("test.jsonl",)), make_recipe()
    assert load_splits(with_test).evaluation_split(with_test) == "test"
    assert load_splits(without).evaluation_split(without) == "validation"


def test_every_problem_is_counted_and_the_first_ones_are_shown(make_recipe, write_rows, tmp_path):
    bad = [{"phrase": "x"}] + [{"phrase": "", "tone": "sad"}] + [{"tone": "sad"}] * 3
    write_rows("train.jsonl", rows(10) + bad)
    with pytest.raises(DataError) as caught:
        load_splits(make_recipe())
    assert str(caught.value).splitlines() == [
        "phrase_tone/lora: 5 of 15 rows cannot be used.",
        "train.jsonl:11: field 'tone' is missing (fields: phrase). train.jsonl:12: field 'phrase' is empty. "
        "train.jsonl:13: field 'phrase' is missing (fields: tone). 2 more.",
        "Every row needs the fields of the template: phrase, tone.",
        f"See them all: slmcheck data check {tmp_path}/lora.yaml",
    ]
    assert isinstance(caught.value, ProblemsError)
    assert len(caught.value.problems) == 5
    assert caught.value.exit_status == 2


def test_problems_of_all_splits_are_listed_together(make_recipe, write_rows):
    write_rows("train.jsonl", [*rows(4), {"phrase": "x"}])
    problems = inspect(make_recipe(test=("none.jsonl",), validation=("empty.jsonl",))).problems
    assert [(problem.split, problem.where) for problem in problems] == [
        ("train", "train.jsonl:5"),
        ("validation", "empty.jsonl"),
        ("test", "none.jsonl"),
    ]


def test_a_missing_file_is_one_clear_message(make_recipe):
    with pytest.raises(DataError, match=r"lora: the data has a problem\.\ntrain\.jsonl: file not found in"):
        load_splits(make_recipe())


def test_a_class_with_one_row_is_a_problem(make_recipe, write_rows):
    write_rows("train.jsonl", [*rows(8), {"phrase": "x", "tone": "curious"}])
    with pytest.raises(DataError, match=r"train.jsonl:9: class 'curious' has one training row"):
        load_splits(make_recipe())


def test_a_long_label_is_quoted_in_one_short_line(make_recipe, write_rows):
    write_rows("train.jsonl", [*rows(8), {"phrase": "x", "tone": "curious\n" + "and more " * 100}])
    with pytest.raises(DataError) as caught:
        load_splits(make_recipe())
    (line,) = (line for line in str(caught.value).splitlines() if "train.jsonl:9" in line)
    assert line.startswith("train.jsonl:9: class 'curious and more and more")
    assert "...' has one training row; add another, or drop the class" in line
    assert len(line) < 160


def test_a_split_that_leaves_nothing_for_validation_is_a_problem(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": "same", "tone": "glad"}] * 6)
    with pytest.raises(DataError, match="6 training rows leave none for validation"):
        load_splits(make_recipe())


def test_the_training_subset_has_the_smallest_ids(make_recipe, write_rows):
    write_rows("train.jsonl", rows(700))
    splits = load_splits(make_recipe())
    subset = train_subset(splits, 20)
    assert [item.id for item in subset] == sorted(item.id for item in splits.train)[:20]
    assert len(train_subset(splits, 10_000)) == 500


def test_other_rows_are_rendered_by_the_same_template_and_labels(make_recipe, write_rows):
    write_rows("train.jsonl", rows(10))
    write_rows("new.jsonl", [{"phrase": "new", "tone": "sad"}])
    examples = load_examples(make_recipe(), ("new.jsonl",))
    assert (examples[0].prompt, examples[0].options) == ("Phrase: new\nTone:", ("glad", "sad"))


def test_other_rows_with_another_label_are_refused(make_recipe, write_rows):
    write_rows("train.jsonl", rows(10))
    write_rows("new.jsonl", [{"phrase": "new", "tone": "bored"}])
    with pytest.raises(DataError, match="label 'bored' is not among the labels of the training rows"):
        load_examples(make_recipe(), ("new.jsonl",))


def test_a_model_trained_elsewhere_needs_no_training_rows(make_recipe, write_rows):
    write_rows("test.jsonl", rows(4))
    splits = load_splits(make_recipe(train=(), test=("test.jsonl",)))
    assert (splits.train, splits.labels, len(splits.test)) == ((), ("glad", "sad"), 4)
