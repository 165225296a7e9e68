from __future__ import annotations

from dataclasses import replace

import pytest

from slmcheck.data.tokenizers import read_tokenizer
from slmcheck.errors import DataError
from slmcheck.records import Example
from slmcheck.testing.trainer_contract import examples
from slmcheck.training.token_rows import IGNORED, tokenise


@pytest.fixture
def tokenizer(small_model):
    return read_tokenizer(small_model)


def test_the_answer_and_its_end_are_learned_and_nothing_else(recipe, tokenizer) -> None:
    example = examples(1)[0]
    (row,) = tokenise([example], tokenizer, recipe)
    learned = [label for label in row.labels if label != IGNORED]
    assert tokenizer.decode(learned) == f"{example.answer}</s>"
    assert [token for token, label in zip(row.ids, row.labels, strict=True) if label != IGNORED] == learned


def test_a_document_is_cut_into_windows_in_which_every_token_is_learned_once(recipe, tokenizer) -> None:
    reading = replace(recipe, task="language_modeling", data=replace(recipe.data, max_length=8))
    document = Example(id="d", row={}, answer="abcdefghijklmnopqrstuvwxyz")
    rows = tokenise([document], tokenizer, reading)
    assert {row.example for row in rows} == {0}
    assert max(len(row.ids) for row in rows) == 8
    learned = [label for row in rows for label in row.labels if label != IGNORED]
    assert tokenizer.decode(learned) == "abcdefghijklmnopqrstuvwxyz</s>"


def test_a_row_whose_answer_does_not_fit_is_refused_with_its_place(recipe, tokenizer) -> None:
    short = replace(recipe, data=replace(recipe.data, max_length=8))
    rows = [*examples(1), replace(examples(1)[0], id="long", answer=" a very long answer", source="train.jsonl:7")]
    with pytest.raises(DataError, match=r"answer of 1 of 2 rows does not fit data\.max_length, 8 tokens") as error:
        tokenise(rows, tokenizer, short)
    assert "train.jsonl:7" in str(error.value)


def test_class_weights_weigh_the_rows_of_their_class(recipe, tokenizer) -> None:
    weighted = replace(recipe, class_weights={"red": 3.0})
    rows = tokenise(examples(2), tokenizer, weighted)
    assert [row.weight for row in rows] == [3.0, 1.0]
