"""What `slmcheck init` reads off rows, and that the recipe it writes is sound."""

import json

import pytest

from slmcheck import data, recipes
from slmcheck.errors import DataError
from slmcheck.recipes.propose import propose


def tones(count=60):
    return [
        {
            "phrase": f"This is phrase number {n} of many",
            "tone": ("glad", "sad", "calm")[n % 3],
            "source": ("mail", "chat")[n % 2],
        }
        for n in range(count)
    ]


def test_few_repeated_values_are_a_classification():
    proposal = propose(tones(), "tone")
    assert (proposal.task, proposal.answer) == ("classification", "tone")
    assert proposal.text_template == "Phrase: {phrase}\nTone: {tone}"
    assert proposal.labels == ("calm", "glad", "sad")


def test_descriptive_fields_and_short_inputs_become_slices():
    slices = propose(tones(), "tone").slices
    assert list(slices) == ["source_mail", "source_chat", "short"]
    assert slices["source_mail"].equals == "mail"


def test_written_answers_are_a_generation_whatever_stands_beside():
    rows = [{"input": f"Question {n}?", "output": f"Answer number {n} it is.", "topic": "ab"[n % 2]} for n in range(40)]
    proposal = propose(rows, "faq")
    assert (proposal.task, proposal.answer, proposal.text_template) == (
        "generation",
        "output",
        "Input: {input}\nOutput: {output}",
    )


def test_a_label_beside_a_written_field_is_a_classification():
    rows = [{"summary": f"text {n} goes here", "label": "ab"[n % 2]} for n in range(40)]
    assert propose(rows, "x").answer == "label"


def test_json_objects_are_an_extraction():
    rows = [{"text": f"for {n} people", "target": json.dumps({"people": n})} for n in range(20)]
    assert propose(rows, "slots").task == "extraction"


def test_a_single_text_is_language_modelling():
    rows = [{"text": f"Once upon a time {n}"} for n in range(20)]
    proposal = propose(rows, "stories")
    assert (proposal.task, proposal.text_template, proposal.answer) == ("language_modeling", "{text}", None)


def test_messages_are_chat():
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    proposal = propose([{"messages": messages}] * 3, "chat")
    assert (proposal.task, proposal.messages, proposal.text_template) == ("generation", "messages", None)


def test_ids_and_references_have_their_own_fields():
    rows = [
        {"id": f"r{n}", "mr": f"name {n} food", "target": f"A place {n}", "references": [f"A place {n}"]}
        for n in range(30)
    ]
    proposal = propose(rows, "e2e")
    assert (proposal.id, proposal.references, proposal.text_template) == (
        "id",
        "references",
        "Mr: {mr}\nTarget: {target}",
    )


def test_lengths_keep_within_the_context():
    rows = [{"text": "word " * 600, "label": "ab"[n % 2]} for n in range(20)]
    assert propose(rows, "x").max_length == 512
    assert propose(rows, "x", context_tokens=2048).max_length == 1216
    assert propose(rows, "x", context_tokens=2048, count_tokens=lambda text: len(text.split())).max_length == 640


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"a": "x"}], "1 rows are too few"),
        ([{"a": None}] * 5, "No field of the rows can be learned: they are empty"),
        ([{"label": "ab"[n % 2], "n": [n]} for n in range(20)], "no field that could be the input beside 'label'"),
    ],
)
def test_rows_without_anything_to_learn_are_refused(rows, message):
    with pytest.raises(DataError, match=message):
        propose(rows, "x")


@pytest.mark.parametrize("test", ["test.jsonl", None])
def test_the_written_recipe_can_be_loaded_and_its_rows_used(tmp_path, test):
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in tones()))
    proposal = propose([row.values for row in data.read_rows(["train.jsonl"], tmp_path)], "tone")
    path = tmp_path / "lora.yaml"
    path.write_text(recipes.recipe_text(proposal, train="train.jsonl", test=test))
    recipe = recipes.load(path)
    recipes.check(recipe)
    assert recipe.learning_rate == 3e-3
    assert recipe.evaluates_on_validation is (test is None)
    splits = data.load_splits(recipe)
    assert any("short" in item.slices for item in splits.of(splits.evaluation_split(recipe)))


@pytest.mark.parametrize("value", ["yes", "null", "1", "a: b", "ü # x", "{a}", "", "- a", "path/to.jsonl[:80%]"])
def test_texts_are_written_so_that_yaml_reads_them_back(tmp_path, value):
    import yaml

    from slmcheck.recipes.writing import _scalar

    assert yaml.safe_load(_scalar(value)) == value


@pytest.mark.parametrize("value", [3e-3, 1e-6, 2e-4, 1.0, 0.15, 1e20])
def test_numbers_are_written_so_that_yaml_reads_numbers(value):
    import yaml

    from slmcheck.recipes.writing import _scalar

    assert yaml.safe_load(_scalar(value)) == value
    assert not isinstance(yaml.safe_load(_scalar(value)), str)
