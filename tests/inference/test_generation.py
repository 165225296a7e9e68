"""Texts equal those of model.generate, one row at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from slmcheck.backends import LanguageModel, load
from slmcheck.data.encoding import encode_prompt
from slmcheck.errors import PredictionError, RecipeError
from slmcheck.inference import generation
from slmcheck.records import Checkpoint, Example


def prompts(texts: Sequence[str]) -> list[Example]:
    return [
        Example(id=str(index), row={}, prompt=text, answer=" x", source=f"test.jsonl:{index + 1}")
        for index, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def beginnings(stories_texts) -> list[Example]:
    """Beginnings of stories, from 1 to 60 words."""
    return prompts([" ".join(text.split()[: 1 + 7 * index % 60]) for index, text in enumerate(stories_texts[:24])])


def by_transformers(plain, model: LanguageModel, recipe, example: Example, new_tokens: int) -> str:
    import torch

    ids = list(encode_prompt(example, model.tokenizer, recipe=recipe))
    with torch.no_grad():
        out = plain.generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=new_tokens, do_sample=False
        )
    text: str = model.tokenizer.backend.decode(out[0, len(ids) :].tolist(), skip_special_tokens=True)
    return text


def test_greedy_texts_equal_generate(model, plain, beginnings, recipe, ask):
    settings = recipe("generation", max_new_tokens=40)
    found = {row.row: row for example in beginnings for row in ask(model, [example], "generate", settings)}
    together = ask(model, beginnings, "generate", settings)
    assert [row.text for row in together] == [found[row.row].text for row in together]
    expected = [by_transformers(plain, model, settings, example, 40).strip() for example in beginnings]
    assert sorted(row.text for row in together) == sorted(expected)


def test_texts_do_not_depend_on_the_batch(model, two_threads, beginnings, recipe, ask, monkeypatch):
    settings = recipe("generation", max_new_tokens=30)
    expected = ask(model, beginnings, "generate", settings)
    shuffled = random.Random(2).sample(beginnings, len(beginnings))
    assert ask(model, shuffled, "generate", settings) == expected
    assert ask(model, beginnings, "generate", recipe("generation", max_new_tokens=30, batch_tokens=1)) == expected
    assert ask(two_threads, beginnings, "generate", settings) == expected
    monkeypatch.setattr(generation, "ROWS", 3)
    assert ask(model, beginnings, "generate", settings) == expected
    known = {row.row: row for row in expected}
    assert all(row == known[row.row] for row in ask(model, beginnings[5:9], "generate", settings))


def test_a_text_ends_with_eos(model, plain, recipe, ask):
    # The model ends its stories with BOS, which is its EOS.
    settings = recipe("generation", max_new_tokens=400)
    (found,) = ask(model, prompts(["Once upon a time, there was a dog."]), "generate", settings)
    assert found.finished is True
    assert found.generated_tokens < 400
    expected = by_transformers(plain, model, settings, prompts(["Once upon a time, there was a dog."])[0], 400)
    assert found.text == expected.strip()


def test_every_eos_of_the_generation_configuration_ends_a_text(random_model, recipe, ask, tmp_path):
    import json
    import shutil

    folder = shutil.copytree(random_model("llama", num_key_value_heads=2), tmp_path / "model")
    settings = recipe("generation", max_new_tokens=12)
    loaded = load(Checkpoint(kind="model", path=folder, key="k"))
    (long,) = ask(loaded, prompts(["abc"]), "generate", settings)
    assert long.finished is False
    last = long.text[-1]
    (eos,) = loaded.tokenizer.tokenize(last)[0]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, eos]}), encoding="utf-8")
    again = load(Checkpoint(kind="model", path=folder, key="k"))
    (short,) = ask(again, prompts(["abc"]), "generate", settings)
    assert short.finished is True
    assert short.text == long.text[: long.text.index(last)].strip()


def test_a_text_ends_before_the_first_stop_string(model, beginnings, recipe, ask):
    whole = {row.row: row for row in ask(model, beginnings, "generate", recipe("generation", max_new_tokens=60))}
    stopped = ask(model, beginnings, "generate", recipe("generation", max_new_tokens=60, stop=("his", ". ", "\n")))
    for row in stopped:
        text = whole[row.row].text
        places = [text.find(stop) for stop in ("his", ". ", "\n") if stop in text]
        assert row.text == (text[: min(places)].strip() if places else text)
        assert row.finished is bool(places) or whole[row.row].finished
    assert any(row.finished and row.text for row in stopped)


def test_a_full_context_ends_a_text(model, recipe, ask):
    example = prompts(["Once upon a time " * 80])[0]
    length = len(encode_prompt(example, model.tokenizer, recipe=recipe("generation")))
    (found,) = ask(model, [example], "generate", recipe("generation", max_new_tokens=600))
    assert found.generated_tokens <= 512 - length


def test_a_prompt_without_room_for_an_answer_is_named(model, recipe, ask):
    with pytest.raises(PredictionError, match=r"(?s)test\.jsonl:2 \(id 1\).*512 tokens"):
        ask(model, prompts(["short", "word " * 600]), "generate", recipe("generation"))


def test_samples_do_not_depend_on_the_batch(model, two_threads, beginnings, recipe, ask):
    settings = recipe("generation", max_new_tokens=20, temperature=0.8, top_p=0.95, samples=3)
    expected = ask(model, beginnings, "generate", settings)
    assert ask(model, beginnings, "generate", settings) == expected
    assert ask(two_threads, list(reversed(beginnings)), "generate", settings) == expected
    alone = ask(model, beginnings[3:4], "generate", settings)
    assert alone[0] in expected
    assert all(len({row.text, *row.samples}) == 3 for row in expected)


def test_texts_go_on_with_fewer_rows_where_memory_ends(model, beginnings, recipe, ask, monkeypatch):
    settings = recipe("generation", max_new_tokens=10)
    expected = ask(model, beginnings, "generate", settings)
    make = model.decoder
    asked: list[int] = []

    def decoder(*, rows: int, length: int):
        asked.append(rows)
        if rows > 4:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            )
        return make(rows=rows, length=length)

    monkeypatch.setattr(model, "decoder", decoder)
    assert ask(model, beginnings, "generate", settings) == expected
    assert asked == [24, 12, 6, 3]


def test_one_row_without_memory_is_an_error(model, beginnings, recipe, ask, monkeypatch):
    def decoder(*, rows: int, length: int):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(model, "decoder", decoder)
    with pytest.raises(PredictionError, match="more memory than this machine has"):
        ask(model, beginnings[:2], "generate", recipe("generation"))


def test_an_error_of_a_thread_is_raised(two_threads, beginnings, recipe, ask, monkeypatch):
    def decoder(*, rows: int, length: int):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(two_threads, "decoder", decoder)
    with pytest.raises(ZeroDivisionError, match="planted"):
        ask(two_threads, beginnings, "generate", recipe("generation"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p is 0.0"),
        ({"samples": 2}, "samples is 2"),
        ({"stop": ("",)}, "empty string"),
    ],
)
def test_impossible_settings_are_named(model, beginnings, recipe, ask, settings, named):
    with pytest.raises(RecipeError, match=named):
        ask(model, beginnings[:1], "generate", recipe("generation", **settings))


def test_logits_that_are_no_numbers_are_an_error(random_model, recipe, ask, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(random_model("llama", num_key_value_heads=2), tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][:] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = load(Checkpoint(kind="model", path=folder, key="k"))
    with pytest.raises(PredictionError, match="not numbers"):
        ask(loaded, prompts(["abc"]), "generate", recipe("generation"))


def test_sampled_tokens_follow_the_distribution(model, recipe):
    from slmcheck.inference.sampling import choose

    rng = np.random.default_rng(0)
    logits = np.log(np.asarray([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    drawn = [choose(logits, temperature=1.0, top_p=1.0, uniform=rng.random()) for _ in range(4000)]
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 4000, [0.5, 0.3, 0.15, 0.05], atol=0.03)
    kept = [choose(logits, temperature=1.0, top_p=0.75, uniform=rng.random()) for _ in range(1000)]
    assert set(kept) == {0, 1}
    cold = [choose(logits, temperature=0.01, top_p=1.0, uniform=rng.random()) for _ in range(100)]
    assert set(cold) == {0}
