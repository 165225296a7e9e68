import json

import pytest

from slmcheck.data.encoding import encode
from slmcheck.data.tokenizers import as_text_tokenizer, read_tokenizer
from slmcheck.errors import InputError
from slmcheck.records import Example

TEXT = Example(id="1", row={}, prompt="Größe 😀?", answer=" ham", references=("ham",))


def test_special_tokens_are_read_from_the_folder(tokenizer):
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id, tokenizer.unk_id) == (1, 2, 0, 3)
    assert tokenizer.prefix == (1,)
    assert tokenizer.eos_ids == {2, 6}
    assert {4, 5, 6} <= tokenizer.special_ids


def test_a_transformers_tokenizer_gives_the_same_ids(tokenizer, tokenizer_folder, make_recipe):
    from transformers import AutoTokenizer

    own = AutoTokenizer.from_pretrained(tokenizer_folder)
    assert encode(TEXT, own, recipe=make_recipe()) == encode(TEXT, tokenizer, recipe=make_recipe())


def test_a_truncation_left_behind_by_transformers_cuts_nothing(tokenizer_folder, make_recipe):
    from transformers import AutoTokenizer

    own = AutoTokenizer.from_pretrained(tokenizer_folder)
    view = as_text_tokenizer(own)
    whole = encode(TEXT, view, recipe=make_recipe())
    own("some text", truncation=True, max_length=3, padding="max_length")
    assert encode(TEXT, view, recipe=make_recipe()) == whole


def test_a_tokenizer_without_offsets_is_refused():
    with pytest.raises(InputError, match="gives no character offsets"):
        as_text_tokenizer(object())


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no tokenizer.json"):
        read_tokenizer(tmp_path)


def test_a_damaged_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"chat_template": "a"}, "a"),
        (
            {"chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]},
            {"default": "a", "tool_use": "b"},
        ),
    ],
)
def test_a_chat_template_is_one_text_or_several_by_name(tokenizer_folder, tmp_path, config, expected):
    (tmp_path / "tokenizer.json").write_bytes((tokenizer_folder / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert read_tokenizer(tmp_path).chat_template == expected


def test_a_chat_template_file_wins(tokenizer_folder, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes((tokenizer_folder / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "old", "eos_token": {"content": "</s>"}}')
    (tmp_path / "chat_template.jinja").write_text("new")
    assert read_tokenizer(tmp_path).chat_template == "new"
    assert read_tokenizer(tmp_path).eos_id == 2
