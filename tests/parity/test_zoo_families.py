"""Clean exports of many families raise no alarm at any module; wrong weights in them are named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest
import torch

from slmcheck.export import to_onnx
from slmcheck.records import Checkpoint, DataSpec, Example, Recipe
from tests.parity import zoo

pytestmark = [pytest.mark.slow, pytest.mark.long]

VARIANTS = {
    "llama": {"num_key_value_heads": 2},
    "llama untied": {"num_key_value_heads": 4, "tie_word_embeddings": False},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 8},
    "qwen2": {"num_key_value_heads": 2},
    "qwen2 sliding": {
        "num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1,
    },
    "qwen3": {"num_key_value_heads": 2, "head_dim": 16},
    "phi3": {"num_key_value_heads": 2},
    "phi3 sliding": {"num_key_value_heads": 2, "sliding_window": 8},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "gemma3_text": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "smollm3": {"num_key_value_heads": 2},
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128},
}  # fmt: skip
CASES = [(name, shape) for name in VARIANTS for shape in ("narrow", "wide")]
SHAPES = {"narrow": {"num_hidden_layers": 3}, "wide": {"num_hidden_layers": 2, "hidden_size": 48}}
GPT2_SHAPES = {"narrow": {"n_layer": 3}, "wide": {"n_layer": 2, "n_embd": 48}}


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request, random_model, tmp_path_factory):
    from slmcheck.backends.pytorch_loading import load_merged

    name, shape = request.param
    family = name.split()[0]
    shaped = (GPT2_SHAPES if family == "gpt2" else SHAPES)[shape]
    folder = tmp_path_factory.mktemp("clean")
    drawn = with_biases(random_model(family, **VARIANTS[name] | shaped), folder / "model")
    checkpoint = Checkpoint(kind="model", path=drawn, key="s")
    to_onnx(checkpoint, folder)
    return load_merged(checkpoint), folder / "model.onnx", folder


def with_biases(source, folder):
    """A copy of a model whose biases and norms are no longer all zeros or all ones."""
    from slmcheck.backends.pytorch_loading import load_base

    model = load_base(str(source), torch.float32, trust_remote_code=False)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    shutil.copytree(source, folder)
    model.save_pretrained(folder)
    return folder


def located(model, graph, fresh):
    from slmcheck.parity.locating import Suspect, locate

    rng = np.random.default_rng(0)
    rows = [[1, *rng.integers(4, 260, size=length).tolist()] for length in (20, 5, 33, 60, 12, 40, 9, 25, 3, 17)]
    return locate(Suspect("s/r", "fp32", graph, fresh=lambda: fresh), model, rows)


def test_a_clean_export_raises_no_alarm(case):
    model, graph, _ = case
    found = located(model, graph, None)
    assert found.outcome == "agrees", (found.sentence, found.evidence)
    leaves = [path for path, module in model.named_modules() if not list(module.children()) and "drop" not in path]
    named = {one.module.removesuffix(" (input)") for one in found.errors}
    assert len(named & set(leaves)) >= 0.9 * len(leaves), sorted(set(leaves) - named)
    print(json.dumps({"worst": max(one.isolated for one in found.errors), "places": len(found.errors)}))


def test_a_wrong_matrix_is_named(case):
    model, graph, folder = case
    right = onnx.load(graph)
    rng = np.random.default_rng(1)
    weights = {one.name for one in right.graph.initializer}
    products = [
        number
        for number, node in enumerate(right.graph.node)
        if node.op_type in ("MatMul", "Gemm") and weights & set(node.input)
    ]
    for number in rng.choice(products, size=5, replace=False):
        editor = zoo.Editor(right)
        node = editor.nodes[number]
        editor.change(node, lambda array: array * np.float32(1.01))
        onnx.save(editor.model, folder / "broken.onnx")
        found = located(model, folder / "broken.onnx", graph)
        assert found.modules[:1] == (editor.scope(node),), (found.sentence, found.evidence)


def test_a_dropped_bias_is_named(case):
    model, graph, folder = case
    right = zoo.Editor(onnx.load(graph))
    biased = [path for path, module in model.named_modules() if getattr(module, "bias", None) is not None]
    owners = [path for path in biased if path.endswith(("q_proj", "c_fc", "mlp.c_proj"))]
    for path in owners[:2]:
        editor = zoo.Editor(right.model)
        node = editor.of(path, "Add", "Gemm")[-1]
        place = max(place for place, name in enumerate(node.input) if editor.constant(name) is not None)
        editor.give(node, place, np.zeros_like(editor.constant(node.input[place])))
        onnx.save(editor.model, folder / "broken.onnx")
        found = located(model, folder / "broken.onnx", graph)
        assert found.modules[:1] == (path,), (found.sentence, found.evidence)


ABSOLUTE = {
    "every position + 1": lambda editor: zoo.positions_plus(editor, only_behind_a_past=False),
    "positions that count padding": zoo.positions_count_padding,
    "positions of decode steps + 1": lambda editor: zoo.positions_plus(editor, only_behind_a_past=True),
}


def test_shifted_positions_of_an_absolute_model_are_found_and_told(random_model, tmp_path):
    from slmcheck.backends import load
    from slmcheck.backends.pytorch_loading import load_merged
    from slmcheck.parity import TOLERANCES, check_conditions, judge_conditions

    checkpoint = Checkpoint(kind="model", path=random_model("gpt2", **VARIANTS["gpt2"]), key="s")
    to_onnx(checkpoint, tmp_path / "graph")
    right, model, reference = onnx.load(tmp_path / "graph" / "model.onnx"), load_merged(checkpoint), load(checkpoint)
    recipe = Recipe(name="s/r", base_model="b", task="generation", trainer="lora", data=DataSpec(answer="a"))
    examples = [Example(id=str(size), row={}, prompt="x" * size, answer=" end") for size in (3, 40, 17, 25, 60, 8)]
    for plant in ABSOLUTE.values():
        editor = zoo.Editor(right)
        plant(editor)
        folder = zoo.write(editor.model, tmp_path / "altered", beside=tmp_path / "graph")
        other = load(Checkpoint(kind="onnx", path=folder, key="altered"))
        checks = judge_conditions(check_conditions(reference, other, examples, recipe=recipe), TOLERANCES["fp32"])
        assert not all(check.passed for check in checks)
        found = located(model, folder / "model.onnx", tmp_path / "graph" / "model.onnx")
        assert (found.outcome, found.modules) == ("outside", ("transformer.wpe",)), found.sentence
        assert "positions" in found.sentence


ENCODERS = {"bert": {}, "roberta": {}, "modernbert": {"cls_token_id": 1, "sep_token_id": 2}}


@pytest.mark.parametrize("family", ENCODERS)
def test_an_encoder_is_located_too(family, tmp_path):
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from slmcheck.export.encoder import classifier_graph

    sizes = {
        "vocab_size": 260, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_labels": 3,
        "num_attention_heads": 4, "max_position_embeddings": 128, "pad_token_id": 0, "initializer_range": 0.15,
    }  # fmt: skip
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**sizes, **ENCODERS[family]})
    model = AutoModelForSequenceClassification.from_config(config).eval().requires_grad_(False)
    graph, clean, broken = classifier_graph(model), tmp_path / "clean.onnx", tmp_path / "broken.onnx"
    onnx.save(graph, clean)
    assert located(model, clean, None).outcome == "agrees"
    weights = {one.name for one in graph.graph.initializer}
    editor = zoo.Editor(graph)
    node = [one for one in editor.nodes if one.op_type in ("MatMul", "Gemm") and weights & set(one.input)][5]
    editor.change(node, lambda array: array * np.float32(1.01))
    onnx.save(editor.model, broken)
    assert located(model, broken, clean).modules == (editor.scope(node),)
