"""Where the answer starts, what is learned, and that BOS and EOS stand once."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.data.encoding import (
    Encoded,
    boundary,
    encode,
    encode_for_training,
    encode_prompt,
    marked,
    windows,
    within,
)
from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.errors import InputError
from slmcheck.records import Example

BOS, EOS = 1, 2
TEXT = Example(id="1", row={}, prompt="Is it?", answer=" ham", references=("ham",))


def test_the_prompt_is_masked_and_the_answer_with_eos_is_learned(make_recipe, tokenizer):
    encoded = encode(TEXT, tokenizer, recipe=make_recipe())
    assert tokenizer.decode(encoded.prompt_ids) == "<s>Is it?"
    assert tokenizer.decode(encoded.answer_ids) == " ham</s>"
    learned = [number for number, yes in zip(encoded.ids, encoded.labelled, strict=True) if yes]
    assert tokenizer.decode(learned) == " ham</s>"


def test_eos_is_learned_by_position_where_it_is_also_the_padding_token(make_recipe, tokenizer):
    shared = replace(tokenizer, special_tokens={**tokenizer.special_tokens, "pad_token": "</s>"})
    encoded = encode(TEXT, shared, recipe=make_recipe())
    assert (encoded.ids[-1], encoded.labelled[-1]) == (EOS, True)


def test_bos_and_eos_of_the_text_itself_are_not_repeated(make_recipe, tokenizer):
    example = replace(TEXT, prompt="<s>Is it?", answer=" ham</s>")
    ids = encode(example, tokenizer, recipe=make_recipe()).ids
    assert (ids.count(BOS), ids.count(EOS)) == (1, 1)


def test_a_tokenizer_that_adds_no_bos_gets_none(make_recipe, tokenizer):
    bare = replace(tokenizer, prefix=())
    assert BOS not in encode(TEXT, bare, recipe=make_recipe()).ids


def test_what_a_tokenizer_puts_behind_a_text_is_replaced_by_one_eos(make_recipe, tokenizer):
    doubled = replace(tokenizer, suffix=(EOS,))
    assert encode(TEXT, doubled, recipe=make_recipe()).ids.count(EOS) == 1


def test_a_token_across_the_boundary_belongs_to_the_answer_and_is_reported(make_recipe, tokenizer):
    encoded = encode(replace(TEXT, prompt="Label:"), tokenizer, recipe=make_recipe())
    assert encoded.crossing == ": "
    assert tokenizer.decode(encoded.answer_ids) == ": ham</s>"


def test_an_option_stands_in_place_of_the_answer(make_recipe, tokenizer):
    encoded = encode(TEXT, tokenizer, recipe=make_recipe(), text=" spam", end=False)
    assert tokenizer.decode(encoded.answer_ids) == " spam"


def test_all_tokens_but_the_first_may_be_learned(make_recipe, tokenizer):
    encoded = encode(TEXT, tokenizer, recipe=make_recipe(loss_on="all"))
    assert encoded.labelled == (False, *[True] * (len(encoded.ids) - 1))


def test_a_document_is_learned_from_its_first_token(make_recipe, tokenizer):
    recipe = make_recipe(task="language_modeling")
    encoded = encode(replace(TEXT, prompt="", answer="once"), tokenizer, recipe=recipe)
    assert encoded.labelled == (False, True, True, True, True, True)
    assert encoded.answer_start == 1


def test_a_tokenizer_without_eos_is_refused(make_recipe, tokenizer):
    without = replace(tokenizer, special_tokens={"bos_token": "<s>"})
    with pytest.raises(InputError, match="has no EOS token"):
        encode(TEXT, without, recipe=make_recipe())


@given(prompt=st.text(max_size=30), answer=st.text(min_size=1, max_size=20))
def test_prompt_and_answer_are_found_again_in_any_text(prompt: str, answer: str, tokenizer: TextTokenizer):
    from slmcheck.data.encoding import encode_text

    encoded = encode_text(prompt, answer, tokenizer, learn_prompt=False, end=True)
    body = encoded.ids[1:-1]
    assert (encoded.ids[0], encoded.ids[-1]) == (BOS, EOS)
    assert tokenizer.decode(body) == prompt + answer
    if encoded.crossing is None:
        assert tokenizer.decode(encoded.answer_ids[:-1]) == answer
    assert encoded.labelled.index(True) == max(1, encoded.answer_start)


def test_the_prompt_of_a_generation_is_the_masked_prefix_of_the_training_row(make_recipe, tokenizer):
    recipe = make_recipe()
    assert encode_prompt(TEXT, tokenizer, recipe=recipe) == encode(TEXT, tokenizer, recipe=recipe).prompt_ids


@pytest.mark.parametrize(
    ("offsets", "length", "expected"),
    [
        ([(0, 2), (2, 4)], 2, (1, None)),
        ([(0, 2), (1, 4)], 2, (1, "bcd")),
        ([(0, 2)], 2, (1, None)),
        ([(0, 1), (1, 1), (1, 3)], 1, (2, None)),
    ],
)
def test_the_answer_starts_at_the_first_token_that_ends_beyond_the_prompt(offsets, length, expected):
    assert boundary(offsets, length, "abcdef") == expected


def test_a_long_prompt_loses_its_beginning_and_keeps_bos(make_recipe, tokenizer):
    encoded = encode(replace(TEXT, prompt="0123456789?"), tokenizer, recipe=make_recipe())
    fitting = within(encoded, 8, tokenizer)
    assert fitting is not None
    assert tokenizer.decode(fitting.ids) == "<s>6789? ham</s>"
    assert (len(fitting.ids), fitting.cut_tokens, fitting.answer_start) == (8, len(encoded.ids) - 8, 6)
    assert sum(fitting.labelled) == sum(encoded.labelled)


def test_an_answer_that_does_not_fit_is_not_cut(make_recipe, tokenizer):
    encoded = encode(TEXT, tokenizer, recipe=make_recipe())
    assert within(encoded, len(encoded.answer_ids) + 1, tokenizer) is None
    assert within(encoded, len(encoded.answer_ids) + 2, tokenizer) is not None


@given(length=st.integers(2, 40), window=st.integers(2, 12))
def test_every_token_of_a_document_is_learned_once(length: int, window: int):
    document = Encoded(ids=tuple(range(length)), answer_start=1, labelled=(False, *[True] * (length - 1)))
    parts = windows(document, window)
    learned = [number for part in parts for number, yes in zip(part.ids, part.labelled, strict=True) if yes]
    assert learned == list(range(1, length))
    assert all(2 <= len(part.ids) <= window for part in parts)


def test_eos_stands_only_at_the_end_of_a_document(make_recipe, tokenizer):
    recipe = make_recipe(task="language_modeling", max_length=8)
    parts = encode_for_training(replace(TEXT, prompt="", answer="a long document"), tokenizer, recipe=recipe)
    assert len(parts) > 1
    assert [EOS in part.ids for part in parts] == [False] * (len(parts) - 1) + [True]


def test_a_row_is_shown_with_its_learned_part_marked(make_recipe, tokenizer):
    assert marked(encode(TEXT, tokenizer, recipe=make_recipe()), tokenizer) == "<s>Is it?[[ ham</s>]]"
