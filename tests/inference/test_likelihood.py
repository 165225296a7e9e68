"""Likelihoods equal a plain computation, one document and one window at a time."""

from __future__ import annotations

import random

import numpy as np
import pytest

from slmcheck.errors import PredictionError, RecipeError
from slmcheck.inference.likelihood import document_windows, window_and_stride
from slmcheck.records import EvaluationSpec, Example


def answers(stories: list[str]) -> list[Example]:
    return [
        Example(id=str(index), row={}, prompt=text[:200], answer=text[200:320], source=f"test.jsonl:{index + 1}")
        for index, text in enumerate(stories)
    ]


def documents(stories: list[str]) -> list[Example]:
    return [
        Example(id=str(index), row={}, answer=text, source=f"test.jsonl:{index + 1}")
        for index, text in enumerate(stories)
    ]


def plain_document_nll(ask_plain, ids: list[int], *, window: int, stride: int) -> float:
    """Token by token: each in the first window that reaches it, as the documented rule says."""
    total = 0.0
    for place in range(1, len(ids)):
        if place < window:
            start, stop = 0, min(window, len(ids))
        else:
            stop = min(len(ids), window + stride * ((place - window) // stride + 1))
            start = stop - window
        total -= ask_plain(ids[start:stop])[place - start - 1, ids[place]]
    return total


def test_an_answer_and_its_eos_are_counted(model, plain_log_probabilities, stories_texts, recipe, ask):
    for example in answers(stories_texts[:8]):
        (found,) = ask(model, [example], "nll", recipe("generation"))
        ids, offsets = model.tokenizer.tokenize(example.prompt + example.answer)
        first = 1 + next(place for place, (_, end) in enumerate(offsets) if end > len(example.prompt))
        ids = [1, *ids, model.tokenizer.eos_id]
        table = plain_log_probabilities(ids)
        expected = -sum(table[place - 1, ids[place]] for place in range(first, len(ids)))
        assert found.nll == pytest.approx(expected, abs=1e-4)
        assert found.tokens == len(ids) - first
        assert (found.bytes, found.words) == (len(example.answer.encode()), len(example.answer.split()))
        assert found.text is None


@pytest.mark.parametrize(("window", "stride"), [(None, None), (64, None), (64, 1), (100, 99), (33, 16)])
def test_documents_equal_a_plain_computation(
    model, plain_log_probabilities, stories_texts, recipe, ask, window, stride
):
    example = documents([stories_texts[0][:420]])[0]
    (found,) = ask(model, [example], "nll", recipe("language_modeling", window=window, stride=stride))
    ids = [1, *model.tokenizer.tokenize(example.answer)[0]]
    used, step = window or 512, stride or (window or 512) // 2
    expected = plain_document_nll(plain_log_probabilities, ids, window=used, stride=step)
    assert found.nll == pytest.approx(expected, abs=1e-4)
    assert found.tokens == len(ids) - 1
    assert found.bytes == len(example.answer.encode())


def test_perplexity_of_a_corpus_weighs_tokens(model, plain_log_probabilities, stories_texts, recipe, ask):
    examples = documents([stories_texts[0][:100], stories_texts[1][:700]])
    found = ask(model, examples, "nll", recipe("language_modeling"))
    total, count = 0.0, 0
    for example in examples:
        ids = [1, *model.tokenizer.tokenize(example.answer)[0]]
        total -= plain_log_probabilities(ids)[np.arange(len(ids) - 1), ids[1:]].sum()
        count += len(ids) - 1
    perplexity = np.exp(sum(row.nll for row in found) / sum(row.tokens for row in found))
    assert perplexity == pytest.approx(np.exp(total / count), rel=1e-6)


def test_likelihoods_do_not_depend_on_the_batch(model, two_threads, stories_texts, recipe, ask):
    examples = documents(stories_texts[:12])
    expected = ask(model, examples, "nll", recipe("language_modeling", window=128))
    shuffled = random.Random(1).sample(examples, len(examples))
    for found in (
        ask(model, shuffled, "nll", recipe("language_modeling", window=128, batch_tokens=5000)),
        ask(model, examples, "nll", recipe("language_modeling", window=128, batch_tokens=1)),
        ask(two_threads, examples, "nll", recipe("language_modeling", window=128)),
    ):
        for one, other in zip(found, expected, strict=True):
            assert one.nll == pytest.approx(other.nll, abs=1e-5 * other.tokens)
            assert one.tokens == other.tokens


def test_rows_come_as_their_batches_finish(model, stories_texts, recipe):
    from slmcheck.inference import predict

    sizes: list[int] = []
    predict(
        model,
        answers(stories_texts[:10]),
        kind="nll",
        recipe=recipe("generation", batch_tokens=1),
        on_rows=lambda rows: sizes.append(len(rows)),
    )
    assert sizes == [1] * 10


@pytest.mark.parametrize("length", [2, 9, 10, 11, 25, 64])
@pytest.mark.parametrize(("window", "stride"), [(10, 5), (10, 1), (10, 9), (2, 1)])
def test_windows_count_every_token_once_with_context_before_it(length, window, stride):
    windows = document_windows(length, window=window, stride=stride)
    counted = [place for one in windows for place in one.counted]
    assert counted == list(range(1, length))
    for one in windows:
        assert one.size <= window
        assert all(one.start < place < one.stop for place in one.counted)
        assert all(place - one.start >= min(place, window - stride) for place in one.counted)


def test_the_window_is_the_context_and_the_stride_half_of_it():
    assert window_and_stride(EvaluationSpec(), 512) == (512, 256)
    assert window_and_stride(EvaluationSpec(window=100), 512) == (100, 50)
    assert window_and_stride(EvaluationSpec(), None) == (1024, 512)


@pytest.mark.parametrize("settings", [{"window": 513}, {"window": 1}, {"stride": 512}, {"window": 10, "stride": 10}])
def test_impossible_windows_are_refused(settings):
    with pytest.raises(RecipeError, match=r"evaluation\.(window|stride)"):
        window_and_stride(EvaluationSpec(**settings), 512)


def test_an_empty_document_is_named(model, recipe, ask):
    example = Example(id="3", row={}, answer="", source="test.jsonl:4")
    with pytest.raises(PredictionError, match=r"no token whose likelihood.*test\.jsonl:4"):
        ask(model, [example], "nll", recipe("language_modeling"))


def test_an_answer_beyond_the_context_is_named(model, recipe, ask):
    example = Example(id="3", row={}, prompt="word " * 600, answer=" end", source="test.jsonl:4")
    with pytest.raises(PredictionError, match=r"test\.jsonl:4 \(id 3\)"):
        ask(model, [example], "nll", recipe("generation"))
