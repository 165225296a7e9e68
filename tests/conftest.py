"""Fixtures that many tests share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy  # noqa: F401  pytester restores sys.modules, and numpy refuses to be loaded twice in one process
import pytest
from hypothesis import settings

from tests.mood import Trained, train_into

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

pytest_plugins = ["pytester"]

# CI tries the same examples each time, so that a change is judged and not the dice; elsewhere new ones are tried.
settings.register_profile("slmcheck", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("slmcheck")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real public data and models that SLMCHECK_TEST_DATA names."""
    named = os.environ.get("SLMCHECK_TEST_DATA")
    if not named:
        pytest.skip("SLMCHECK_TEST_DATA is not set: it names a folder with data/ and models/ of real public data")
    folder = Path(named)
    if not (folder / "data").is_dir() or not (folder / "models").is_dir():
        pytest.skip(f"SLMCHECK_TEST_DATA={named} has no data/ and models/")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The run of the suite of two moods, trained, predicted and measured into one store for all tests."""
    return train_into(tmp_path_factory.mktemp("trained"))


RandomModel = Callable[..., Path]


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> RandomModel:
    """Make folders of small random causal models with a byte tokenizer: `random_model("llama", hidden_size=32)`.

    Weights are drawn wide enough (.15) that logits differ clearly. Equal calls give the same folder.
    """
    made: dict[str, Path] = {}

    def make(model_type: str, **config: object) -> Path:
        name = json.dumps([model_type, config], sort_keys=True, default=str)
        if name not in made:
            folder = tmp_path_factory.mktemp(model_type)
            _save_random_model(folder, model_type, config)
            made[name] = folder
        return made[name]

    return make


def _save_random_model(folder: Path, model_type: str, config: dict[str, object]) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "vocab_size": 260,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "initializer_range": 0.15,
        "tie_word_embeddings": True,
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **{**sizes, **config}))
    model.save_pretrained(folder)
    _byte_tokenizer(folder)


def _byte_tokenizer(folder: Path) -> None:
    """One token a byte, behind <pad>, <s>, </s>, <unk>; <s> stands before every text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    specials = ["<pad>", "<s>", "</s>", "<unk>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: place for place, token in enumerate([*specials, *alphabet])}, []))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in specials])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    settings = {**names, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


@pytest.fixture(scope="session")
def exported_model(random_model: RandomModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small random Llama and its fp32 ONNX export: (model folder, graph folder); made once, it takes ten seconds."""
    from slmcheck.export import to_onnx
    from slmcheck.records import Checkpoint

    model, graph = random_model("llama", num_key_value_heads=2), tmp_path_factory.mktemp("export")
    to_onnx(Checkpoint(kind="model", path=model, key="source"), graph)
    return model, graph
