"""Faults that only the tokenizer shows, each planted once."""

from dataclasses import replace

import pytest

from slmcheck.data import ProblemsError, load_splits
from slmcheck.data.checks import check_rows

TEMPLATE = "Is {phrase} ok? {tone}"


def sound(count):
    return [{"phrase": f"phrase {n}", "tone": ("glad", "sad")[n * 7 % 3 % 2]} for n in range(count)]


@pytest.fixture
def findings(make_recipe, write_rows, tokenizer):
    def find(rows, view=tokenizer, **fields):
        write_rows("train.jsonl", rows)
        recipe = make_recipe(**{"text_template": TEMPLATE, "max_length": 64, **fields})
        return {finding.cause: finding for finding in check_rows(recipe, load_splits(recipe), view)}

    return find


def test_of_sound_rows_only_their_lengths_are_told(findings):
    assert findings(sound(60)).keys() == {"token-statistics", "label-noise"}


def test_an_answer_that_does_not_fit_is_an_error_with_its_lines(findings, make_recipe, tmp_path):
    rows = [*sound(60), *({"phrase": f"p{n}", "tone": "x" * 80} for n in range(2))]
    with pytest.raises(ProblemsError) as caught:
        findings(rows, task="generation")
    assert str(caught.value).splitlines() == [
        "phrase_tone/lora: 2 of 62 rows cannot be used.",
        "train.jsonl:61: 92 tokens, 64 fit: the answer is cut. train.jsonl:62: 92 tokens, 64 fit: the answer is cut.",
        "Raise data.max_length (the longest row has 92 tokens), or shorten or remove these rows.",
        f"See them all: slmcheck data check {tmp_path}/lora.yaml",
    ]


def test_prompts_that_lose_their_beginning_are_counted(findings):
    rows = [*sound(60), *({"phrase": "long " * 20 + str(n), "tone": "sad"} for n in range(4))]
    cut = findings(rows)["cut-prompts"]
    assert cut.severity == "warning"
    assert cut.summary.startswith("4 of 64 rows are longer than max_length 64")
    assert cut.recipe_patch == {"data.max_length": 114}


def test_a_token_across_the_boundary_is_a_problem(findings):
    torn = findings(sound(60), text_template="{phrase}\nTone: {tone}")["boundary-token"]
    assert torn.severity == "problem"
    assert torn.evidence[0].endswith("token ': ' ends the prompt and begins the answer")


def test_a_document_has_no_boundary(findings):
    assert findings(sound(60), task="language_modeling", text_template="{phrase}: {tone}", max_length=16).keys() == {
        "token-statistics"
    }


def test_bos_in_the_template_is_not_doubled_and_not_special_in_rows(findings):
    assert findings(sound(60), text_template="<s>" + TEMPLATE).keys() == {"token-statistics", "label-noise"}


def test_two_bos_are_a_problem(findings):
    assert findings(sound(60), text_template="<s><s>" + TEMPLATE)["double-bos"].severity == "problem"


def test_a_stop_token_that_ends_no_generation_is_a_problem(findings, tokenizer):
    turns = "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}"
    template = turns + "{% if add_generation_prompt %}<|user|>{% endif %}"
    messages = ({"role": "user", "content": "{phrase}"}, {"role": "assistant", "content": "{tone}"})
    fields = {"text_template": None, "messages": messages, "chat_template": template}
    assert "eos-not-learned" not in findings(sound(60), **fields)
    unended = findings(sound(60), view=replace(tokenizer, stop_ids=frozenset()), **fields)["eos-not-learned"]
    assert unended.summary.endswith("rows end with '<|end|>', which ends no generation.")


def test_special_looking_text_that_is_no_token_is_a_problem(findings):
    plain = findings(sound(60), text_template="<|im_start|><|user|>" + TEMPLATE)["special-text-not-token"]
    assert plain.summary == "The template holds '<|im_start|>', which the tokenizer reads as plain text."


def test_special_tokens_in_the_rows_are_noticed(findings):
    rows = [*sound(60), {"phrase": "an </s> in the middle", "tone": "sad"}]
    found = findings(rows)["special-token-in-rows"]
    assert found.evidence == ("train.jsonl:61: '</s>'",)


def test_characters_that_the_tokenizer_does_not_know_are_counted(findings, tokenizer):
    blind = replace(tokenizer, special_tokens={**tokenizer.special_tokens, "unk_token": "x"})
    rows = [{"phrase": f"x{n}", "tone": ("glad", "sad")[n % 2]} for n in range(40)]
    assert findings(rows, view=blind)["unknown-tokens"].summary.startswith("40 of 40 rows")


def test_a_chat_template_without_bos_is_noticed(findings):
    turns = "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}"
    template = turns + "{% if add_generation_prompt %}<|user|>{% endif %}"
    messages = ({"role": "user", "content": "{phrase}"}, {"role": "assistant", "content": "{tone}"})
    fields = {"text_template": None, "messages": messages}
    missing = findings(sound(60), chat_template=template, **fields)["missing-bos"]
    assert missing.summary.startswith("60 of 60 rows begin without BOS")
    assert "missing-bos" not in findings(sound(60), chat_template="<s>" + template, **fields)


def test_learned_prompts_are_noticed_and_the_recipe_change_is_given(findings):
    learned = findings(sound(60), loss_on="all")["prompt-not-masked"]
    assert learned.recipe_patch == {"data.loss_on": "answer"}
    assert "prompt-not-masked" not in findings(sound(60))


def test_labels_that_begin_with_one_token_are_noted(findings):
    rows = [{**row, "tone": f"glad {n % 2}"} for n, row in enumerate(sound(60))]
    shared = findings(rows)["label-words-share-tokens"]
    assert shared.summary == "2 of 2 labels begin with the token of another label."
