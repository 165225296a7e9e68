"""Chat rows are asked through their template, exactly as they were learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slmcheck.backends import LanguageModel, PaddedBatch, load
from slmcheck.inference.generation import ends_of
from slmcheck.records import Checkpoint, Example, Recipe

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}<unk>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="module")
def chatting(random_model) -> LanguageModel:
    return load(Checkpoint(kind="model", path=random_model("llama", num_key_value_heads=2), key="k"))


@pytest.fixture
def chat(recipe) -> Recipe:
    plain = recipe("classification", max_new_tokens=8)
    return replace(plain, data=replace(plain.data, text_template=None, messages="messages", chat_template=TEMPLATE))


def example(answer: str = "yes") -> Example:
    turns = [("system", "be brief"), ("user", "is it?"), ("assistant", answer)]
    return Example(
        id="1",
        row={},
        messages=tuple({"role": role, "content": content} for role, content in turns),
        references=("yes",),
        options=("yes", "no"),
        option_texts=("yes", "no"),
    )


def log_probability(model: LanguageModel, text: str, answer: str) -> float:
    """Of the answer's characters, one token each, by a plain pass over the rendered text."""
    ids = [1, *model.tokenizer.tokenize(text + answer)[0]]
    (logits,) = model.logits(PaddedBatch.of([ids], pad_id=0, pad_left=False))
    exact = logits.astype(np.float64)
    table = exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))
    first = len(ids) - len(model.tokenizer.tokenize(answer)[0])
    return float(sum(table[place - 1, ids[place]] for place in range(first, len(ids))))


PROMPT = "[system]be brief<unk>[user]is it?<unk>[assistant]"


def test_options_stand_where_the_last_turn_stands(chatting, chat, ask):
    (found,) = ask(chatting, [example()], "options", chat)
    expected = [log_probability(chatting, PROMPT, option) for option in ("yes", "no")]
    np.testing.assert_allclose(found.option_scores, expected, atol=1e-4)


def test_the_token_that_ends_the_turn_is_part_of_the_likelihood(chatting, chat, ask):
    (found,) = ask(chatting, [example()], "nll", chat)
    assert found.nll == pytest.approx(-log_probability(chatting, PROMPT, "yes<unk>"), abs=1e-4)
    assert (found.tokens, found.bytes, found.words) == (4, 3, 1)


def test_the_token_that_ends_a_turn_ends_a_text(chatting, chat):
    assert chatting.eos_ids == {2}
    assert ends_of(chatting, example(), chat) == {2, 3}
    assert ends_of(chatting, Example(id="1", row={}, prompt="a"), chat) == {2}


def test_a_text_starts_from_the_generation_prompt(chatting, chat, ask):
    (found,) = ask(chatting, [example()], "generate", chat)
    decoder = chatting.decoder(rows=1, length=128)
    logits = decoder.add([[1, *chatting.tokenizer.tokenize(PROMPT)[0]]])
    tokens: list[int] = []
    while len(tokens) < 8 and int(logits.argmax()) not in {2, 3}:
        tokens.append(int(logits.argmax()))
        logits = decoder.step(np.asarray(tokens[-1:]))
    assert found.text == chatting.tokenizer.backend.decode(tokens, skip_special_tokens=True).strip()
