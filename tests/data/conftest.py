"""Recipes, files and tokenizers for the tests of data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from slmcheck.data.tokenizers import TextTokenizer, read_tokenizer
from slmcheck.records import DataSpec, EvaluationSpec, Recipe

MakeRecipe = Callable[..., Recipe]
WriteRows = Callable[..., Path]


@pytest.fixture
def make_recipe(tmp_path: Path) -> MakeRecipe:
    """A recipe in tmp_path: `make_recipe(task="generation", train=("rows.jsonl",), max_length=32)`."""

    def make(**fields: object) -> Recipe:
        evaluation = EvaluationSpec(
            **{n: fields.pop(n) for n in list(fields) if n in EvaluationSpec.__dataclass_fields__}
        )
        data = {name: fields.pop(name) for name in list(fields) if name in DataSpec.__dataclass_fields__}
        recipe = Recipe(
            name="phrase_tone/lora",
            path=tmp_path / "lora.yaml",
            base_model="slmcheck/tiny",
            task="classification",
            trainer="lora",
            data=DataSpec(
                **{
                    "train": ("train.jsonl",),
                    "text_template": "Phrase: {phrase}\nTone: {tone}",
                    "answer": "tone",
                    **data,
                }
            ),
            evaluation=evaluation,
        )
        return replace(recipe, **fields)

    return make


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """Write rows as JSONL: `write_rows("train.jsonl", [{...}])`."""

    def write(name: str, rows: Sequence[Mapping[str, object]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<|user|>", "<|assistant|>", "<|end|>")


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level tokenizer with a few merges (`": "`, ` ham`), BOS before each text and chat markers."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [(":", "Ġ"), ("h", "a"), ("ha", "m"), ("Ġ", "ham")]
    tokens = [*SPECIAL, *alphabet, *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE({token: place for place, token in enumerate(tokens)}, merges))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 6]}', encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> TextTokenizer:
    """The byte-level tokenizer, read without transformers."""
    return read_tokenizer(tokenizer_folder)
