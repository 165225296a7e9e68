from dataclasses import replace

from slmcheck.data import Splits, load_splits, with_shots
from slmcheck.records import EvaluationSpec, Example


def test_no_shots_leave_the_examples_as_they_are(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": str(n), "tone": "a"} for n in range(6)])
    recipe = make_recipe()
    splits = load_splits(recipe)
    assert with_shots(recipe, splits, splits.validation) == splits.validation


def test_shots_take_turns_between_labels_and_keep_ids(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": f"p{n}", "tone": "ab"[n % 2]} for n in range(12)])
    recipe = make_recipe(few_shot=2)
    splits = load_splits(recipe)
    shown = with_shots(recipe, splits, splits.validation)[0]
    assert shown.id == splits.validation[0].id
    assert shown.prompt.count("Phrase:") == 3
    assert shown.prompt.index("Tone: a") < shown.prompt.index("Tone: b")
    assert shown.prompt.endswith("\n\n" + splits.validation[0].prompt)


def test_a_row_never_stands_before_itself(make_recipe, write_rows):
    write_rows("train.jsonl", [{"phrase": f"p{n}", "tone": "a"} for n in range(6)])
    recipe = make_recipe(task="generation", few_shot=3)
    splits = load_splits(recipe)
    for example, prompted in zip(splits.train, with_shots(recipe, splits, splits.train), strict=True):
        assert prompted.prompt.count(example.prompt) == 1


def test_shots_of_a_conversation_are_turns_after_the_system_message(make_recipe):
    def chat(number):
        messages = (
            {"role": "system", "content": "S"},
            {"role": "user", "content": str(number)},
            {"role": "assistant", "content": "x"},
        )
        return Example(id=str(number), row={}, messages=messages, answer="x", references=("x",))

    recipe = make_recipe(task="generation", text_template=None, messages="messages", answer=None)
    recipe = replace(recipe, evaluation=EvaluationSpec(few_shot=1))
    prompted = with_shots(recipe, Splits(train=(chat(1),)), (chat(2),))[0]
    assert [message["content"] for message in prompted.messages] == ["S", "1", "x", "2", "x"]
