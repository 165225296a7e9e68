"""Each rule on the fields of a recipe, broken once."""

from dataclasses import fields, replace
from typing import get_type_hints

import pytest

from slmcheck.recipes.rules import BOUNDS, problems_of
from slmcheck.records import DataSpec, EvaluationSpec, Recipe, SlicePredicate

SOUND = Recipe(
    name="tone/lora",
    base_model="slmcheck/tiny",
    task="classification",
    trainer="lora",
    data=DataSpec(train=("train.jsonl",), test=("test.jsonl",), text_template="{phrase}: {tone}", answer="tone"),
)
CHAT = replace(SOUND, task="generation", data=DataSpec(train=("a.jsonl",), messages="turns"))
USER, ASSISTANT = {"role": "user", "content": "{phrase}?"}, {"role": "assistant", "content": "{tone}"}


def texts(recipe):
    return [problem.text for problem in problems_of(recipe)]


def with_data(**changes):
    return replace(SOUND, data=replace(SOUND.data, **changes))


def slices(**conditions):
    return with_data(slices={"s": SlicePredicate(**conditions)})


def test_sound_recipes_have_no_problem():
    assert texts(SOUND) == []
    assert texts(CHAT) == []
    assert texts(replace(CHAT, data=replace(CHAT.data, messages=(USER, ASSISTANT), answer="tone"))) == []


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        (replace(SOUND, learning_rate=0.0), "learning_rate is 0; expected above 0 and at most 10"),
        (replace(SOUND, learning_rate=float("nan")), "learning_rate is nan; expected above 0 and at most 10"),
        (replace(SOUND, seeds=0), "seeds is 0; expected at least 1 and at most 100"),
        (replace(SOUND, label_smoothing=1.0), "label_smoothing is 1; expected at least 0 and below 1"),
        (with_data(validation=0.9), "data.validation is 0.9; expected above 0 and at most 0.5"),
        (
            replace(SOUND, num_train_epochs=3.0, max_steps=5),
            "num_train_epochs and max_steps are both given; keep one of them",
        ),
        (
            replace(SOUND, warmup_ratio=0.1, warmup_steps=5),
            "warmup_ratio and warmup_steps are both given; keep one of them",
        ),
        (replace(SOUND, bf16=True, fp16=True), "bf16 and fp16 are both true; keep one of them"),
        (
            replace(SOUND, save_steps=5, eval_steps=4),
            "save_steps is 5 and eval_steps is 4; they are equal, so leave save_steps out",
        ),
        (replace(SOUND, class_weights={"glad": 0.0}), "class_weights.glad is 0; expected above 0"),
        (
            replace(SOUND, class_weights={"glad": 1.0}, labels=("sad", "calm")),
            "class_weights names 'glad', which is not among the labels",
        ),
        (replace(CHAT, class_weights={"glad": 1.0}), "class_weights need a classification; task is 'generation'"),
        (replace(SOUND, labels=("a", "b", "a")), "labels hold 'a' twice"),
        (replace(SOUND, labels=("a",)), "labels hold one option, 'a'; a choice needs two"),
        (replace(SOUND, labels=("a", " b")), "label ' b' is empty or has white space around it"),
        (replace(CHAT, labels=("a", "b")), "labels need a classification; task is 'generation'"),
        (
            with_data(text_template=None),
            "data.text_template is missing (or data.messages for chat rows)",
        ),
        (with_data(messages="turns"), "data.messages and data.text_template are both given; keep one of them"),
        (with_data(answer=None), "data.answer is missing: the field that the model must produce"),
        (with_data(answer="mood"), "data.answer is 'mood', which text_template does not name (it names: phrase, tone)"),
        (
            with_data(text_template="{tone}: {phrase} is {tone}"),
            "text_template names the answer {tone} 2 times; the model would read it",
        ),
        (
            with_data(text_template=" {tone} {phrase}"),
            "text_template has nothing before {tone}: the model is asked nothing",
        ),
        (with_data(text_template="no field"), "data.text_template names no field: 'no field'"),
        (
            with_data(text_template="{phrase}: {tone"),
            "data.text_template: the template has '{' at character 11, which names no field. "
            "A field is written {name}; a brace itself is written twice: {{ or }}",
        ),
        (with_data(test=(), evaluate_on="test"), "data.evaluate_on is 'test', but data.test is missing"),
        (
            with_data(train=("rows",)),
            "data.train: data source 'rows' is neither a file nor a hub data set. "
            "A file ends in .jsonl, .ndjson, .json, .csv, .tsv, .parquet; "
            "a hub data set is written org/name:train[:4096]",
        ),
        (
            with_data(test=("a.csv[1]",)),
            "data.test: split expression '[1]' of 'a.csv[1]' cannot be read. "
            "Write rows or percentages with a colon: [:4096], [90%:], [10%:20%]",
        ),
        (with_data(loss_on="all_turns"), "data.loss_on is 'all_turns', which needs chat rows (data.messages)"),
        (with_data(chat_template="x"), "data.chat_template needs chat rows (data.messages)"),
        (with_data(template_date="26.7.2024"), "data.template_date is '26.7.2024'; expected a date such as 2024-07-26"),
        (
            replace(CHAT, task="language_modeling"),
            "data.messages does not go with task 'language_modeling'; use text_template",
        ),
        (
            replace(CHAT, data=replace(CHAT.data, messages=(USER,), answer="tone")),
            "data.messages ends with a message of the assistant, after at least one other",
        ),
        (
            replace(CHAT, data=replace(CHAT.data, messages=(USER, {"role": "assistant"}), answer="tone")),
            "data.messages.1 has the fields role; expected role and content",
        ),
        (
            replace(CHAT, data=replace(CHAT.data, messages=(USER, ASSISTANT), answer="phrase")),
            "data.answer is 'phrase', which must stand once, in the last of data.messages: {phrase}",
        ),
        (
            slices(field="a"),
            "slice 's' has no condition (equals, in, matches, min_words, max_words, min, max)",
        ),
        (slices(field="a", min_words=3, max_words=2), "slice 's' has min_words 3 above max_words 2"),
        (slices(field="a", min=3, max=2.5), "slice 's' has min 3 above max 2.5"),
        (
            slices(field="a", matches="("),
            "slice 's' has a pattern that is no regular expression: '(' "
            "(missing ), unterminated subpattern at position 0)",
        ),
        (
            replace(SOUND, evaluation=EvaluationSpec(window=8, stride=8)),
            "evaluation.stride is 8; expected less than the window, 8",
        ),
        (
            replace(SOUND, evaluation=EvaluationSpec(samples=2)),
            "evaluation.samples is 2, but at temperature 0 all samples are equal",
        ),
        (
            replace(SOUND, evaluation=EvaluationSpec(stop=("",))),
            "evaluation.stop holds an empty text, which would end every answer",
        ),
    ],
)
def test_a_broken_rule_is_the_one_problem(recipe, problem):
    assert texts(recipe) == [problem]


def test_every_number_of_a_recipe_has_a_range():
    unbounded = []
    for path, kind in (((), Recipe), (("data",), DataSpec), (("evaluation",), EvaluationSpec)):
        hints = get_type_hints(kind)
        for item in fields(kind):
            numeric = {int, float} & {hints[item.name], *getattr(hints[item.name], "__args__", ())}
            if numeric and "Mapping" not in str(hints[item.name]) and (*path, item.name) not in BOUNDS:
                unbounded.append(item.name)
    assert unbounded == []
