"""A GenAI folder is done when its graph answers as the model; what the builder says of it counts for nothing."""

from __future__ import annotations

import importlib.metadata

import pytest
import slmcheck_genai
from slmcheck_genai import PRECISIONS, GenaiExporter

from slmcheck.errors import ExportError, MissingExtraError
from slmcheck.export import find_exporter
from slmcheck.records import Checkpoint

WIDE = {"num_key_value_heads": 2, "hidden_size": 64}
WORKING = {"llama": WIDE, "qwen2": WIDE, "qwen3": {"num_key_value_heads": 2, "head_dim": 16}, "smollm3": WIDE}
REFUSED = {
    "gemma3_text": ({"num_key_value_heads": 2, "head_dim": 16, "query_pre_attn_scalar": 16}, "makes no folder"),
    "phi3": (WIDE, "makes no folder"),
    "mistral": ({**WIDE, "sliding_window": 8}, "answers otherwise than the model"),
}


def checkpoint(folder) -> Checkpoint:
    return Checkpoint(kind="model", path=folder, key="k")


def test_it_is_found_by_its_name_and_needs_no_library_for_a_key(exported_model):
    exporter = find_exporter("genai")
    assert isinstance(exporter, GenaiExporter)
    keys = [exporter.inputs(checkpoint(exported_model[0]), precision) for precision in PRECISIONS]
    assert len({str(key) for key in keys}) == 3


def test_a_precision_that_the_builder_makes_for_a_gpu_only_is_refused(exported_model):
    with pytest.raises(ExportError, match=r"no precision 'fp16' for a CPU.*\nAvailable: fp32, int8, int4"):
        GenaiExporter().inputs(checkpoint(exported_model[0]), "fp16")


def test_without_the_extra_the_command_to_install_it_is_named(exported_model, tmp_path, monkeypatch):
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(slmcheck_genai, "version", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'slmcheck\[train,onnx,genai\]'"):
        GenaiExporter().export(checkpoint(exported_model[0]), tmp_path, "fp32")


def test_narrow_heads_are_refused_before_anything_is_built(exported_model, tmp_path, monkeypatch):
    monkeypatch.setattr(slmcheck_genai, "version", lambda name: "0")
    with pytest.raises(ExportError, match=r"heads of LlamaForCausalLM are 8 wide.*\n?.*multiple of 16"):
        GenaiExporter().export(checkpoint(exported_model[0]), tmp_path, "fp32")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("family", WORKING)
def test_a_family_that_works_agrees_with_pytorch(family, random_model, tmp_path):
    pytest.importorskip("onnxruntime_genai", reason="the extra genai is not installed")
    from slmcheck.backends import load
    from slmcheck.parity import breaches, compare
    from slmcheck.records import DataSpec, Example, Recipe

    source = checkpoint(random_model(family, **WORKING[family]))
    GenaiExporter().export(source, tmp_path, "fp32")
    recipe = Recipe(name="s/r", base_model="b", task="generation", trainer="lora", data=DataSpec(answer="a"))
    texts = ["a lovely day", "it rained all week and the soup was cold", "x"]
    examples = [Example(id=text, row={}, prompt=text, answer=" end") for text in texts]
    exported = load(Checkpoint(kind="onnx", path=tmp_path, key="g"))
    assert breaches(compare(load(source), exported, examples, recipe=recipe), "fp32") == ()


@pytest.mark.slow
def test_fewer_bits_are_fewer_bytes(random_model, tmp_path):
    pytest.importorskip("onnxruntime_genai", reason="the extra genai is not installed")
    source = checkpoint(random_model("llama", **WIDE))
    sizes = []
    for precision in PRECISIONS:
        GenaiExporter().export(source, tmp_path / precision, precision)
        sizes.append((tmp_path / precision / "model.onnx.data").stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.slow
@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_fails_is_named_whatever_the_builder_said(family, random_model, tmp_path):
    pytest.importorskip("onnxruntime_genai", reason="the extra genai is not installed")
    config, message = REFUSED[family]
    with pytest.raises(ExportError, match=rf"(?s){message}.*Known to work: Llama, Qwen2, Qwen3, SmolLM3"):
        GenaiExporter().export(checkpoint(random_model(family, **config)), tmp_path, "fp32")
