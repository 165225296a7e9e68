"""How rows become examples: prompts, answers, references, options, ids."""

from slmcheck.data.splits import inspect, load_splits
from slmcheck.records import SlicePredicate


def test_white_space_before_the_answer_belongs_to_it(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": "hi", "tone": "glad"}] * 2)
    example = inspect(make_recipe()).splits.train[0]
    assert (example.prompt, example.answer, example.references) == ("Phrase: hi\nTone:", " glad", ("glad",))


def test_text_after_the_answer_belongs_to_it_and_not_to_the_reference(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": "hi", "tone": "glad", "by": "me"}] * 2)
    recipe = make_recipe(text_template="{phrase}\n{tone}. ({by})")
    example = inspect(recipe).splits.train[0]
    assert (example.prompt, example.answer, example.references) == ("hi", "\nglad. (me)", ("glad",))
    assert example.option_texts == ("\nglad. (me)",)


def test_options_are_the_sorted_answers_of_the_training_rows(make_recipe, write_rows):
    write_rows(
        "train.jsonl", [{"phrase": str(n), "tone": tone} for n, tone in enumerate(["sad", "glad", "sad", "glad"])]
    )
    splits = load_splits(make_recipe(validation=0.25))
    assert splits.labels == ("glad", "sad")
    assert splits.train[0].options == ("glad", "sad")
    assert splits.train[0].option_texts == (" glad", " sad")


def test_labels_of_the_recipe_keep_their_order(make_recipe, write_rows):
    write_rows(
        "train.jsonl", [{"phrase": str(n), "tone": tone} for n, tone in enumerate(["sad", "glad", "sad", "glad"])]
    )
    assert load_splits(make_recipe(labels=("sad", "glad", "calm"))).labels == ("sad", "glad", "calm")


def test_a_label_that_is_no_option_is_a_problem_with_the_one_that_was_meant(make_recipe, write_rows):
    write_rows(
        "train.jsonl", [{"phrase": str(n), "tone": tone} for n, tone in enumerate(["sad", "glad", "sad", "glad"])]
    )
    write_rows("test.jsonl", [{"phrase": "x", "tone": "gladd"}])
    problems = inspect(make_recipe(test=("test.jsonl",))).problems
    assert [str(problem) for problem in problems] == [
        "test.jsonl:1: label 'gladd' is not among the labels of the training rows (glad, sad); did you mean 'glad'"
    ]


def test_numbers_and_truth_values_are_labels_too(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": str(n), "tone": n % 2} for n in range(6)])
    assert load_splits(make_recipe()).labels == ("0", "1")


def test_white_space_around_a_label_is_no_part_of_it(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": str(n), "tone": " sad "} for n in range(4)])
    assert load_splits(make_recipe()).train[0].answer == " sad"


def test_references_may_be_several(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": str(n), "tone": "a", "refs": ["a ", "b"]} for n in range(4)])
    recipe = make_recipe(task="generation", references="refs")
    assert load_splits(recipe).train[0].references == ("a", "b")


def test_references_of_a_csv_are_a_json_list(make_recipe, tmp_path):
    (tmp_path / "train.csv").write_text('phrase,tone,refs\n1,a,"[""a"", ""b""]"\n2,a,"[sic] a"\n3,a,c\n')
    recipe = make_recipe(task="generation", references="refs", train=("train.csv",), validation=0.4)
    splits = load_splits(recipe)
    by_row = {item.source: item.references for item in (*splits.train, *splits.validation)}
    assert by_row == {"train.csv:2": ("a", "b"), "train.csv:3": ("[sic] a",), "train.csv:4": ("c",)}


def test_an_object_answer_is_written_as_json(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": str(n), "tone": {"time": "ä"}} for n in range(4)])
    assert load_splits(make_recipe(task="extraction")).train[0].references == ('{"time": "ä"}',)


def test_equal_inputs_have_numbered_ids_in_file_order(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": str(n), "tone": "a"} for n in range(4)])
    write_rows("test.jsonl", [{"phrase": "same", "tone": "a"}] * 3)
    ids = [item.id for item in load_splits(make_recipe(test=("test.jsonl",))).test]
    assert len(ids[0]) == 16
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]


def test_an_id_does_not_depend_on_the_answer_or_on_unused_fields(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": str(n), "tone": "a"} for n in range(4)])
    write_rows("one.jsonl", [{"phrase": "x", "tone": "a", "note": 1}])
    write_rows("two.jsonl", [{"tone": "a ", "phrase": "x"}])
    one, two = (load_splits(make_recipe(test=(name,))).test[0] for name in ("one.jsonl", "two.jsonl"))
    assert one.id == two.id


def test_ids_of_a_field_are_taken_as_they_are(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": str(n), "tone": "a", "key": n} for n in range(4)])
    assert {item.id for item in load_splits(make_recipe(id="key")).train} <= {"0", "1", "2", "3"}


def test_repeated_ids_are_a_problem(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": str(n), "tone": "a", "key": n // 2} for n in range(4)])
    problems = inspect(make_recipe(id="key")).problems
    assert [str(problem) for problem in problems] == [
        "train.jsonl:2: id '0' is already that of train.jsonl:1",
        "train.jsonl:4: id '1' is already that of train.jsonl:3",
    ]


def test_a_missing_field_lists_those_that_are_there(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": "a", "label": "x"}])
    assert str(inspect(make_recipe()).problems[0]) == "train.jsonl:1: field 'tone' is missing (fields: phrase, label)"


def test_an_empty_answer_or_input_is_a_problem(make_recipe, write_rows):
    write_rows(
        "train.jsonl", [{"phrase": "a", "tone": " "}, {"phrase": "", "tone": "x"}, {"phrase": None, "tone": "x"}]
    )
    assert [str(problem) for problem in inspect(make_recipe()).problems] == [
        "train.jsonl:1: field 'tone' is empty",
        "train.jsonl:2: field 'phrase' is empty",
        "train.jsonl:3: field 'phrase' is empty",
    ]


def test_an_optional_field_may_be_empty_but_not_all_of_them(make_recipe, write_rows):
    write_rows(
        "train.jsonl", [{"a": "", "b": str(n), "tone": "x"} for n in range(3)] + [{"a": "", "b": "", "tone": "x"}]
    )
    recipe = make_recipe(task="generation", text_template="{a}\n{b}\nTone: {tone}")
    assert [str(problem) for problem in inspect(recipe).problems] == [
        "train.jsonl:4: the fields 'a', 'b' are all empty"
    ]


def test_a_document_is_all_answer(make_recipe, write_rows):
    write_rows("train.jsonl", [{"text": f"story {n} "} for n in range(4)])
    recipe = make_recipe(task="language_modeling", text_template="{text}", answer=None)
    example = load_splits(recipe).train[0]
    assert (example.prompt, example.answer) == ("", "story 0 ")


def test_the_input_of_a_classification_head_needs_no_place_for_the_answer(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": f"p{n}", "tone": "a"} for n in range(4)])
    recipe = make_recipe(task="sequence_classification", text_template="{phrase}")
    example = load_splits(recipe).train[0]
    assert (example.prompt, example.answer, example.options) == (example.row["phrase"], "a", ("a",))


def test_slices_and_groups_are_attached(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": f"p{n}", "tone": "a", "who": n} for n in range(4)])
    recipe = make_recipe(group="who", slices={"late": SlicePredicate(field="who", min=3)})
    splits = load_splits(recipe)
    rows = {item.group: item.slices for item in (*splits.train, *splits.validation)}
    assert rows == {"0": (), "1": (), "2": (), "3": ("late",)}
