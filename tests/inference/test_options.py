"""Option scores equal those of plain forward passes, one option of one row at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from slmcheck.data.encoding import encode
from slmcheck.errors import PredictionError
from slmcheck.inference.options import build_tree, normalized, option_tree
from slmcheck.records import Example

LABELS = ("happy", "very sad", "very angry", "sad", "tired of it")


def rows(texts: Sequence[str], labels: Sequence[str] = LABELS) -> list[Example]:
    return [
        Example(
            id=str(index),
            row={},
            prompt=f"Message: {text}\nMood:",
            answer=f" {labels[0]}",
            references=(labels[0],),
            options=tuple(labels),
            option_texts=tuple(f" {label}" for label in labels),
            source=f"test.jsonl:{index + 1}",
        )
        for index, text in enumerate(texts)
    ]


def plain_totals(ask_plain, model, recipe, example: Example, *, end: bool = False) -> list[float]:
    totals = []
    for text in example.option_texts:
        encoded = encode(example, model.tokenizer, recipe=recipe, text=text, end=end)
        table = ask_plain(encoded.ids[:-1])
        places = range(encoded.answer_start, len(encoded.ids))
        totals.append(sum(table[place - 1, encoded.ids[place]] for place in places))
    return totals


def test_scores_equal_plain_forward_passes(model, plain_log_probabilities, messages, recipe, ask):
    examples, settings = rows(messages[:30]), recipe("classification")
    for example in examples:
        (found,) = ask(model, [example], "options", settings)
        expected = plain_totals(plain_log_probabilities, model, settings, example)
        np.testing.assert_allclose(found.option_scores, expected, atol=1e-5)
        assert found.text == LABELS[int(np.argmax(expected))]
        weights = np.exp(np.asarray(expected) - max(expected))
        np.testing.assert_allclose(found.option_probabilities, weights / weights.sum(), atol=1e-5)


def test_scores_do_not_depend_on_the_batch(model, two_threads, messages, recipe, ask):
    examples = rows(messages[:60])
    shuffled = random.Random(0).sample(examples, len(examples))
    expected = ask(model, examples, "options", recipe("classification"))
    other_ways = [
        ask(model, shuffled, "options", recipe("classification")),
        ask(model, examples, "options", recipe("classification", batch_tokens=1)),
        ask(model, examples, "options", recipe("classification", batch_tokens=300)),
        ask(model, examples, "options", recipe("classification", batch_tokens=5000)),
        ask(two_threads, examples, "options", recipe("classification")),
        sorted(
            [row for example in examples for row in ask(model, [example], "options", recipe("classification"))],
            key=lambda row: row.row,
        ),
    ]
    for found in other_ways:
        assert [row.text for row in found] == [row.text for row in expected]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.option_scores, other.option_scores, atol=1e-5)


def test_a_subset_gets_the_same_scores(model, messages, recipe, ask):
    examples = rows(messages[:40])
    whole = {row.row: row for row in ask(model, examples, "options", recipe("classification"))}
    for row in ask(model, examples[7:19], "options", recipe("classification")):
        np.testing.assert_allclose(row.option_scores, whole[row.row].option_scores, atol=1e-5)


def test_the_prompt_is_read_once_for_all_options(model, messages, recipe):
    (example,) = rows(messages[:1])
    tree = option_tree(model, example, recipe("classification"))
    encoded = [
        encode(example, model.tokenizer, recipe=recipe("classification"), text=text, end=False)
        for text in example.option_texts
    ]
    prompt = encoded[0].answer_start
    assert tree.size < prompt + sum(len(one.ids) - prompt for one in encoded)
    assert tree.size >= prompt


def test_eos_follows_every_option_when_one_begins_another(model, plain_log_probabilities, messages, recipe, ask):
    settings = recipe("classification")
    (example,) = rows(messages[:1], ("sad", "sad and angry", "happy"))
    (found,) = ask(model, [example], "options", settings)
    expected = plain_totals(plain_log_probabilities, model, settings, example, end=True)
    np.testing.assert_allclose(found.option_scores, expected, atol=1e-5)


def test_ties_go_to_the_option_listed_first(model, messages, recipe, ask):
    (example,) = rows(messages[:1], ("b", "a"))
    equal = replace(example, option_texts=(" same", " same"))
    assert ask(model, [equal], "options", recipe("classification"))[0].text == "b"


def test_a_token_across_the_boundary_is_scored_as_part_of_the_answer(model, plain_log_probabilities, recipe, ask):
    example = Example(
        id="1", row={}, prompt="She was hap", options=("py", "less"), option_texts=("py", "less"), references=("py",)
    )
    (found,) = ask(model, [example], "options", recipe("classification"))
    expected = plain_totals(plain_log_probabilities, model, recipe("classification"), example)
    np.testing.assert_allclose(found.option_scores, expected, atol=1e-5)


def test_options_without_a_common_prompt_have_one_tree(model, plain_log_probabilities, recipe, ask):
    example = Example(id="1", row={}, options=("the dog", "a cat"), option_texts=("the dog", "a cat"))
    (found,) = ask(model, [example], "options", recipe("classification"))
    expected = plain_totals(plain_log_probabilities, model, recipe("classification"), example)
    np.testing.assert_allclose(found.option_scores, expected, atol=1e-5)


def test_mean_over_tokens_and_bytes(model, messages, recipe, ask):
    (example,) = rows(messages[:1])
    (plain,) = ask(model, [example], "options", recipe("classification"))
    (by_tokens,) = ask(model, [example], "options", recipe("classification", normalization="mean_tokens"))
    (by_bytes,) = ask(model, [example], "options", recipe("classification", normalization="mean_bytes"))
    tokens = option_tree(model, example, recipe("classification")).lengths()
    np.testing.assert_allclose(by_tokens.option_scores, np.asarray(plain.option_scores) / tokens)
    lengths = [len(label.encode()) for label in LABELS]
    np.testing.assert_allclose(by_bytes.option_scores, np.asarray(plain.option_scores) / lengths)
    assert by_tokens.option_probabilities == plain.option_probabilities


def test_unconditional_takes_the_log_probability_without_a_prompt_off(
    model, plain_log_probabilities, messages, recipe, ask
):
    (example,) = rows(messages[:1])
    settings = recipe("classification", normalization="unconditional")
    (found,) = ask(model, [example], "options", settings)
    bare = replace(example, prompt="")
    expected = np.subtract(
        plain_totals(plain_log_probabilities, model, settings, example),
        plain_totals(plain_log_probabilities, model, settings, bare),
    )
    np.testing.assert_allclose(found.option_scores, expected, atol=1e-5)
    assert found.text == LABELS[int(np.argmax(expected))]


def test_bytes_count_as_utf8():
    totals = np.asarray([-4.0, -4.0])
    values = normalized(totals, normalization="mean_bytes", tokens=np.asarray([1, 1]), options=("é", "e"), prior=None)
    assert values.tolist() == [-2.0, -4.0]


def test_equal_rows_are_asked_once(model, messages, recipe, ask):
    examples = rows([messages[0]] * 3)
    assert len(ask(model, examples, "options", recipe("classification"))) == 1


def test_a_row_beyond_the_context_is_named(model, recipe, ask):
    examples = rows(["short", "word " * 600])
    with pytest.raises(PredictionError, match=r"(?s)1 of 2 rows do not fit.*jsonl:2 \(id 1\): .*512 tokens"):
        ask(model, examples, "options", recipe("classification"))


def test_rows_without_options_are_named(model, recipe, ask):
    example = Example(id="7", row={}, prompt="a", source="test.jsonl:9")
    with pytest.raises(PredictionError, match=r"no options to choose from: test\.jsonl:9"):
        ask(model, [example], "options", recipe("classification"))


def test_no_rows_are_no_work(model, recipe, ask):
    assert ask(model, [], "options", recipe("classification")) == []


def test_the_last_token_of_an_option_is_asked_and_never_read(model, recipe):
    example = Example(id="1", row={}, prompt="Mood:", options=("A", "B"), option_texts=(" A", " B"))
    encoded = [
        encode(example, model.tokenizer, recipe=recipe("classification"), text=text, end=False)
        for text in example.option_texts
    ]
    tree = build_tree(encoded)
    shared = [one == other for one, other in zip(encoded[0].ids, encoded[1].ids, strict=False)].index(False)
    assert tree.size == max(shared, len(encoded[0].ids) - 1)


def test_a_long_common_beginning_is_read_once_and_changes_nothing(
    model, two_threads, plain_log_probabilities, messages, recipe, ask, monkeypatch
):
    shots = "".join(
        f"Message: {text[:40]}\nMood: {LABELS[index % 5]}\n\n" for index, text in enumerate(messages[40:44])
    )
    examples = [replace(example, prompt=shots + example.prompt[:120]) for example in rows(messages[:20])]
    settings = recipe("classification")
    read: list[int] = []
    ask_model = model.log_probabilities
    monkeypatch.setattr(model, "log_probabilities", lambda trees: read.append(len(trees)) or ask_model(trees))
    found = ask(model, examples, "options", settings)
    assert max(read) > 3  # of 200 to 300 tokens each, 1024 tokens would hold three
    assert [row.text for row in ask(two_threads, examples, "options", settings)] == [row.text for row in found]
    alone = sorted((row for one in examples for row in ask(model, [one], "options", settings)), key=lambda row: row.row)
    by_row = {row.row: row for row in found}
    for row in alone:
        np.testing.assert_allclose(by_row[row.row].option_scores, row.option_scores, atol=2e-5)
    for example in examples[:3]:
        (row,) = ask(model, [example], "options", settings)
        expected = plain_totals(plain_log_probabilities, model, settings, example)
        np.testing.assert_allclose(by_row[row.row].option_scores, expected, atol=2e-5)
