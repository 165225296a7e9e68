"""Every family whose export was measured still exports, and agrees whatever the padding."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from slmcheck.backends import load
from slmcheck.export import to_onnx
from slmcheck.parity import breaches, compare
from slmcheck.records import Checkpoint, DataSpec, EvaluationSpec, Example, Recipe

pytestmark = pytest.mark.slow

FAMILIES = {
    "llama untied": {"num_key_value_heads": 4, "tie_word_embeddings": False},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 8},
    "qwen2": {"num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 16},
    "phi3": {"num_key_value_heads": 2},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "gemma3_text": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "smollm3": {"num_key_value_heads": 2},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
}
RECIPE = Recipe(
    name="s/r", base_model="b", task="generation", trainer="lora", data=DataSpec(answer="a"),
    evaluation=EvaluationSpec(batch_tokens=300),
)  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_the_export_agrees_alone_and_padded_and_while_decoding(family, random_model, tmp_path):
    folder = random_model(family.split()[0], **FAMILIES[family])
    source = Checkpoint(kind="model", path=folder, key="s")
    reference, exported = load(source), load(to_onnx(source, tmp_path))
    rng = np.random.default_rng(0)
    examples = [
        Example(id=str(index), row={}, prompt="".join(map(chr, rng.integers(97, 122, size=length))), answer=" end")
        for index, length in enumerate([3, 60, 100, 7, 33, 2, 80])
    ]
    assert breaches(compare(reference, exported, examples, recipe=RECIPE), "fp32") == ()
    prompts = [rng.integers(4, 260, size=length).tolist() for length in (20, 5, 11)]
    decoders = [model.decoder(rows=3, length=64) for model in (reference, exported)]
    logits = [decoder.add(prompts) for decoder in decoders]
    for _ in range(16):
        np.testing.assert_allclose(logits[1], logits[0], atol=1e-4, rtol=1e-4)
        tokens = logits[0].argmax(axis=1)
        logits = [decoder.step(tokens) for decoder in decoders]


def test_other_processes_write_the_same_bytes(exported_model, tmp_path):
    folder, graph = exported_model
    code = (
        "import sys; from pathlib import Path\n"
        "from slmcheck.export import to_onnx; from slmcheck.records import Checkpoint\n"
        "to_onnx(Checkpoint(kind='model', path=Path(sys.argv[1]), key='source'), Path(sys.argv[2]))"
    )
    for seed in ("1", "77"):
        target = tmp_path / seed
        subprocess.run(
            [sys.executable, "-c", code, str(folder), str(target)],
            check=True, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=tmp_path,
        )  # fmt: skip
        assert (target / "model.onnx").read_bytes() == (graph / "model.onnx").read_bytes()
