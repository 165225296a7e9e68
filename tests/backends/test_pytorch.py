"""Packed forward passes give what plain forward passes of single sequences give, for every family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slmcheck.backends import LanguageModel, PaddedBatch, TokenTree, load
from slmcheck.records import Checkpoint

PACKED = {
    "llama": {"num_key_value_heads": 2},
    "llama untied": {"num_key_value_heads": 4, "tie_word_embeddings": False},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 8},
    "qwen2": {"num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 16},
    "phi3": {"num_key_value_heads": 2},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "granite": {"num_key_value_heads": 2, "logits_scaling": 4.0, "embedding_multiplier": 3.0},
    "cohere": {"num_key_value_heads": 2, "logit_scale": 0.25},
    "smollm3": {"num_key_value_heads": 2},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "gpt_neox": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
}
PADDED = {
    "bloom": {"n_head": 4, "n_layer": 2},
    "falcon": {"alibi": True, "new_decoder_architecture": False, "ffn_hidden_size": 64},
    "mamba": {"state_size": 8, "expand": 2, "time_step_rank": 4},
    "llama dynamic": {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}},
}


def loaded(folder: Path, threads: int = 1) -> LanguageModel:
    return load(Checkpoint(kind="model", path=folder, key="k"), threads=threads)


def plain_logits(folder: Path, sequence: list[int]) -> np.ndarray:
    """Logits of a plain forward pass of one sequence; Gemma 2 needs eager attention for its soft cap."""
    import torch
    from transformers import AutoModelForCausalLM

    attention = "eager" if "gemma2" in (folder / "config.json").read_text(encoding="utf-8") else None
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention).eval()
    with torch.no_grad():
        return model(input_ids=torch.tensor([sequence])).logits[0].numpy()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    exact = logits.astype(np.float64)
    shifted = exact - exact.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def sequences(seed: int, lengths: list[int]) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(4, 260, size=length).tolist() for length in lengths]


@pytest.fixture(params=[*PACKED, *PADDED])
def family(request, random_model) -> tuple[str, Path]:
    name = request.param
    return name, random_model(name.split()[0], **{**PACKED, **PADDED}[name])


def test_the_engine_is_packed_where_the_architecture_allows_it(family):
    name, folder = family
    assert loaded(folder).engine.startswith("packed") == (name in PACKED)


def test_log_probabilities_equal_plain_forward_passes(family):
    _, folder = family
    rows = sequences(1, [2, 30, 5, 17, 40])
    found = loaded(folder).log_probabilities([TokenTree.sequence(row, range(1, len(row))) for row in rows])
    for row, values in zip(rows, found, strict=True):
        expected = log_softmax(plain_logits(folder, row))[np.arange(len(row) - 1), row[1:]]
        np.testing.assert_allclose(values, expected, atol=3e-5, rtol=0)


def test_logits_equal_plain_forward_passes_whatever_the_padding(family):
    _, folder = family
    rows = sequences(2, [3, 21, 12])
    for pad_left in (False, True):
        batch = PaddedBatch.of(rows, pad_id=0, pad_left=pad_left, padding=2)
        for row, logits in zip(rows, loaded(folder).logits(batch), strict=True):
            np.testing.assert_allclose(logits, plain_logits(folder, row), atol=3e-5, rtol=1e-5)


def test_branches_of_a_tree_are_scored_as_if_each_were_alone(family):
    _, folder = family
    model = loaded(folder)
    trunk, branches = [9, 8, 7, 30, 31, 32, 33, 34, 35], [[5, 6, 7], [5, 9, 11], [20]]
    tokens = [*trunk, 5, 6, 9]
    parents = [*range(-1, 8), 8, 9, 9]
    asked, targets = [8, 9, 10, 9, 11, 8], [5, 6, 7, 9, 11, 20]
    tree = TokenTree(*(np.asarray(part, dtype=np.int64) for part in (tokens, parents, asked, targets)))
    found = model.log_probabilities([tree, TokenTree.sequence([4, 5], [1])])[0]
    places = [[0, 1, 2], [0, 3, 4], [5]]
    for branch, place in zip(branches, places, strict=True):
        logits = log_softmax(plain_logits(folder, [*trunk, *branch]))
        expected = logits[np.arange(8, 8 + len(branch)), branch]
        np.testing.assert_allclose(found[place], expected, atol=3e-5, rtol=0)


def test_decoding_equals_plain_forward_passes_while_rows_come_and_go(family):
    _, folder = family
    decoder = loaded(folder).decoder(rows=3, length=64)
    rows = sequences(3, [12, 4])
    logits = list(decoder.add(rows))
    rows.append([7, 8, 9])
    logits += list(decoder.add(rows[2:]))
    assert decoder.room == 0
    for token in (50, 60, 70):
        for row in rows:
            row.append(token)
        logits = list(decoder.step(np.full(len(rows), token)))
    for row, values in zip(rows, logits, strict=True):
        np.testing.assert_allclose(values, plain_logits(folder, row)[-1], atol=3e-5, rtol=1e-5)
    decoder.drop(0)
    rows = [[*rows[2], 99], [*rows[1], 99]]
    for row, values in zip(rows, decoder.step(np.asarray([99, 99])), strict=True):
        np.testing.assert_allclose(values, plain_logits(folder, row)[-1], atol=3e-5, rtol=1e-5)


@pytest.mark.parametrize("fault", ["rows see each other", "a layer raises", "values depend on the batch"])
def test_a_model_whose_packed_rows_are_wrong_is_padded(random_model, monkeypatch, fault):
    from slmcheck.backends import packed_attention
    from slmcheck.backends.layout import plain_segments
    from slmcheck.backends.packed_attention import PackedPlan

    attend = PackedPlan.attend

    def wrong(self, call):
        if fault == "a layer raises":
            raise packed_attention.UnsupportedAttentionError("planted")
        if fault == "rows see each other":
            return attend(PackedPlan(plain_segments([call.query.shape[2]])), call)
        return attend(self, call) * (1 + 1e-3 * call.query.shape[2])

    monkeypatch.setattr(PackedPlan, "attend", wrong)
    model = loaded(random_model("llama", num_key_value_heads=2))
    assert model.engine.startswith("padded")
    row = [1, 50, 60, 70]
    (found,) = model.log_probabilities([TokenTree.sequence(row, [1, 2, 3])])
    expected = log_softmax(plain_logits(random_model("llama", num_key_value_heads=2), row))[[0, 1, 2], row[1:]]
    np.testing.assert_allclose(found, expected, atol=3e-5)
