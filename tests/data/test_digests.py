"""What moves the digest of a row, and what does not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.data.digests import content_digest, normalized_input, reference_digest, row_digest, training_digest
from slmcheck.records import Example

TEXT = Example(
    id="1",
    row={"a": 1},
    prompt="Tone:",
    answer=" glad",
    references=("glad",),
    options=("glad", "sad"),
    option_texts=(" glad", " sad"),
)
CHAT = Example(
    id="1",
    row={},
    messages=({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}),
    answer="Hello",
    references=("Hello",),
)


@pytest.mark.parametrize("kind", ["options", "generate", "nll"])
def test_references_slices_groups_ids_and_unused_fields_are_no_part_of_a_row(make_recipe, kind):
    recipe = make_recipe()
    other = replace(TEXT, id="2", row={}, references=("sad",), group="g", slices=("s",), source="x:1")
    assert row_digest(TEXT, kind, recipe) == row_digest(other, kind, recipe)


@pytest.mark.parametrize("kind", ["options", "generate", "nll"])
def test_the_prompt_is_part_of_every_row(make_recipe, kind):
    recipe = make_recipe()
    assert row_digest(TEXT, kind, recipe) != row_digest(replace(TEXT, prompt="Mood:"), kind, recipe)


@pytest.mark.parametrize(("kind", "same"), [("options", False), ("generate", True), ("nll", True)])
def test_options_are_part_of_a_row_only_where_they_are_asked(make_recipe, kind, same):
    recipe, other = make_recipe(), replace(TEXT, option_texts=(" glad", " calm"))
    assert (row_digest(TEXT, kind, recipe) == row_digest(other, kind, recipe)) is same


@pytest.mark.parametrize(("kind", "same"), [("options", True), ("generate", True), ("nll", False)])
def test_the_answer_is_part_of_a_row_only_where_its_likelihood_is_asked(make_recipe, kind, same):
    recipe, other = make_recipe(), replace(TEXT, answer=" sad")
    assert (row_digest(TEXT, kind, recipe) == row_digest(other, kind, recipe)) is same


@pytest.mark.parametrize(
    "field", [{"chat_template": "{{ messages }}"}, {"chat_template_kwargs": {"a": 1}}, {"template_date": "2025-01-01"}]
)
def test_how_messages_are_rendered_is_part_of_a_chat_row_and_of_no_other(make_recipe, field):
    before, after = make_recipe(), make_recipe(**field)
    assert row_digest(CHAT, "generate", before) != row_digest(CHAT, "generate", after)
    assert row_digest(TEXT, "generate", before) == row_digest(TEXT, "generate", after)


def test_training_sees_prompt_and_answer(make_recipe):
    recipe = make_recipe()
    assert training_digest(TEXT, recipe) != training_digest(replace(TEXT, answer=" sad"), recipe)
    assert training_digest(TEXT, recipe) == training_digest(replace(TEXT, references=("x",)), recipe)


def test_an_edited_reference_is_seen():
    assert reference_digest(TEXT) != reference_digest(replace(TEXT, references=("sad",)))


def test_inputs_are_compared_without_case_width_and_white_space():
    one, other = replace(TEXT, prompt="Ｔｏｎｅ of\u00a0 it:"), replace(TEXT, prompt="tone OF it: ")
    assert normalized_input(one) == normalized_input(other)


def test_a_chat_input_is_all_but_the_answer():
    other = replace(CHAT, messages=(*CHAT.messages[:-1], {"role": "assistant", "content": "Hey"}))
    assert normalized_input(CHAT) == normalized_input(other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(), JSON))
def test_the_order_of_keys_does_not_matter(value):
    assert content_digest(value) == content_digest(dict(reversed(list(value.items()))))


def test_a_lone_surrogate_does_not_stop_a_digest():
    assert content_digest("\ud800") != content_digest("\ud801")
