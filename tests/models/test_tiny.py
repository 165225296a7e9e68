"""The embedded base model: its files, its shape, its tokenizer, and that it has learned English."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

TINY = Path(__file__).resolve().parents[2] / "slmcheck" / "models" / "tiny"
FILES = {
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
}
MARKERS = ("<|system|>", "<|user|>", "<|assistant|>")
MESSAGES = [{"role": "user", "content": "Where is my parcel?"}, {"role": "assistant", "content": "On its way."}]
# None of these is a row of a source of the model.
SENTENCES = (
    "I'm so sorry that I forgot to call you back yesterday.",
    "Thank you very much for your help with the garden.",
    "Once there was a little boy who wanted to play outside with his friends.",
    "Please tell me how I can pay the bill for my last order.",
    "We are worried because the children have not come home yet.",
)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(TINY)


@pytest.fixture(scope="module")
def config() -> dict[str, object]:
    return json.loads((TINY / "config.json").read_text(encoding="utf-8"))


def bits_per_byte(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> float:
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        nats = model(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1)
    return nats / math.log(2) / len(text.encode())


def test_the_folder_holds_these_files_and_nothing_that_could_be_a_pickle() -> None:
    assert {path.name for path in TINY.iterdir()} == FILES


def test_the_folder_is_below_nine_megabytes() -> None:
    assert sum(path.stat().st_size for path in TINY.iterdir()) < 9_000_000


def test_weights_are_half_precision_and_the_tied_head_is_stored_once() -> None:
    with safe_open(TINY / "model.safetensors", framework="pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.float16}  # noqa: SIM118
        assert "lm_head.weight" not in weights.keys()  # noqa: SIM118


def test_it_has_one_to_three_million_parameters(model: PreTrainedModel) -> None:
    assert 1_000_000 <= model.num_parameters() <= 3_000_000


def test_head_size_suits_the_exporters(config: dict[str, object]) -> None:
    assert config["head_dim"] in (16, 32)


def test_every_width_is_a_multiple_of_64(model: PreTrainedModel) -> None:
    matrices = [weight for weight in model.parameters() if weight.dim() == 2]
    assert {size % 64 for weight in matrices for size in weight.shape} == {0}


def test_attention_heads_share_keys_in_groups(config: dict[str, object]) -> None:
    assert config["model_type"] == "llama"
    assert config["num_key_value_heads"] == 2
    assert config["num_attention_heads"] == 4


def test_embeddings_are_tied(model: PreTrainedModel) -> None:
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_context_is_512(config: dict[str, object], tokenizer: PreTrainedTokenizerBase) -> None:
    assert config["max_position_embeddings"] == 512
    assert tokenizer.model_max_length == 512


def test_vocabulary_of_model_and_tokenizer_agree(config: dict[str, object], tokenizer: PreTrainedTokenizerBase) -> None:
    assert config["vocab_size"] == len(tokenizer)


def test_special_tokens_are_distinct_and_the_same_everywhere(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert len(set(ids)) == 3
    for settings in (model.config, model.generation_config):
        assert (settings.bos_token_id, settings.eos_token_id, settings.pad_token_id) == ids


@pytest.mark.parametrize(
    "text",
    [
        "Plain English, with a comma.",
        "  two spaces in front, one behind ",
        "line\n\nbreaks\tand\r\ntabs",
        "Größe, café, niño, 你好, Привет, עברית",
        "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-16} \N{MUSICAL SYMBOL G CLEF}",
        "\x00\x1f\x7f\ufffd\uffff\U0010ffff",
        "<0x41> <s_> <|nobody|>",
        "def f(x: int) -> str: return f'{x!r}'",
        "",
    ],
)
def test_any_text_survives_encoding_and_decoding(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_every_character_of_the_basic_plane_is_encoded_without_the_unknown_token(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    text = "".join(chr(code) for code in range(0x10000) if not 0xD800 <= code <= 0xDFFF and code != 0x2581)
    ids = tokenizer(text, truncation=False, verbose=False).input_ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_the_one_character_that_stands_for_a_space_comes_back_as_one(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer.decode(tokenizer("a\u2581b").input_ids, skip_special_tokens=True) == "a b"


def test_all_256_bytes_are_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    assert {f"<0x{byte:02X}>" for byte in range(256)} <= tokenizer.get_vocab().keys()


def test_text_gets_one_bos_and_no_eos(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = tokenizer("Good morning").input_ids
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.eos_token_id not in ids


def test_a_label_after_a_prompt_keeps_the_tokens_of_the_prompt(tokenizer: PreTrainedTokenizerBase) -> None:
    prompt = tokenizer("Phrase: thanks a lot!\nTone:").input_ids
    assert tokenizer("Phrase: thanks a lot!\nTone: grateful").input_ids[: len(prompt)] == prompt


@pytest.mark.parametrize("marker", MARKERS)
def test_chat_markers_are_single_tokens(tokenizer: PreTrainedTokenizerBase, marker: str) -> None:
    assert len(tokenizer(marker, add_special_tokens=False).input_ids) == 1


def test_chat_template_writes_markers_and_ends_every_turn_with_eos(tokenizer: PreTrainedTokenizerBase) -> None:
    rendered = tokenizer.apply_chat_template(MESSAGES, tokenize=False)
    assert rendered == "<s><|user|>Where is my parcel?</s><|assistant|>On its way.</s>"


def test_chat_prompt_is_a_prefix_of_the_whole_conversation(tokenizer: PreTrainedTokenizerBase) -> None:
    prompt = tokenizer.apply_chat_template(MESSAGES[:1], add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template(MESSAGES, return_dict=False)
    assert whole[: len(prompt)] == prompt
    assert whole.count(tokenizer.bos_token_id) == 1


def test_it_generates_words(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    prompt = tokenizer("Thank you", return_tensors="pt")
    generated = model.generate(**prompt, max_new_tokens=12)
    text = tokenizer.decode(generated[0], skip_special_tokens=True)
    assert text.startswith("Thank you")
    assert len(text) > len("Thank you for")


@pytest.mark.parametrize("sentence", SENTENCES)
def test_it_expects_everyday_sentences(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sentence: str
) -> None:
    assert bits_per_byte(model, tokenizer, sentence) < 2.2


def test_it_prefers_sentences_to_their_words_in_reverse(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    for sentence in SENTENCES:
        backwards = " ".join(reversed(sentence.split()))
        assert bits_per_byte(model, tokenizer, sentence) + 0.5 < bits_per_byte(model, tokenizer, backwards)


def test_positions_up_to_the_end_of_the_context_are_trained(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    ids = tokenizer(" ".join(SENTENCES * 9), truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, :-1]
    losses = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    assert ids.shape[1] == 512
    assert losses[384:].mean() < losses[:128].mean() + 0.3


def test_the_card_states_licence_revision_and_quality() -> None:
    card = (TINY / "README.md").read_text(encoding="utf-8")
    for words in ("CDLA-Sharing-1.0", "CC BY 4.0", "Apache-2.0", "57ec275d8078af65b7731c2a98be812d844a6d6b"):
        assert words in card
    assert "bits per byte** on the held-out tenth" in card
    assert "python scripts/pretrain_tiny.py --data path/to/data" in card
