"""One base graph, several adapters: each answers as its PyTorch adapter, none as the base model, none mixed up."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slmcheck.backends.onnx_adapters import adapter_session, load_adapted
from slmcheck.errors import CheckpointError, ExportError, InputError
from slmcheck.export.adapter_graphs import adapters_inputs, adapters_to_onnx
from slmcheck.records import Checkpoint, DataSpec, Example, Recipe

# peft asks transformers by a name that transformers 5 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
RECIPE = Recipe(
    name="s/r", base_model="b", task="generation", trainer="lora", data=DataSpec(answer="a")
)  # fmt: skip
TEXTS = ["a lovely day", "it rained all week and the soup was cold", "x"]
EXAMPLES = [Example(id=str(place), row={}, prompt=text, answer=" end") for place, text in enumerate(TEXTS)]


def tensor(name: str, shape: list[object]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


@pytest.fixture
def small(tmp_path) -> Path:
    """A graph y = x + x A B with a default of zeros, and adapter files beside it."""
    from slmcheck.export.adapters import write_adapter

    nodes = [
        helper.make_node("MatMul", ["x", "p.lora_A"], ["xa"]),
        helper.make_node("MatMul", ["xa", "p.lora_B"], ["xab"]),
        helper.make_node("Add", ["x", "xab"], ["logits"]),
    ]
    inputs = [tensor("x", ["rows", 3]), tensor("p.lora_A", [3, "r"]), tensor("p.lora_B", ["r", 3])]
    zeros = [
        numpy_helper.from_array(np.zeros(shape, np.float32), name)
        for name, shape in (("p.lora_A", (3, 1)), ("p.lora_B", (1, 3)))
    ]
    graph = helper.make_graph(nodes, "g", inputs, [tensor("logits", ["rows", 3])], zeros)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "model.onnx"
    )
    (tmp_path / "adapters").mkdir()
    for name, rank, value in (("one", 2, 1.0), ("two", 4, -1.0)):
        arrays = {"p.lora_A": np.full((3, rank), value, np.float32), "p.lora_B": np.ones((rank, 3), np.float32)}
        write_adapter(tmp_path / "adapters" / f"{name}.onnx_adapter", arrays)
    write_adapter(tmp_path / "adapters" / "half.onnx_adapter", {"p.lora_A": np.ones((3, 2), np.float32)})
    other = {"p.lora_A": np.ones((3, 2), np.float32), "q.lora_B": np.ones((2, 3), np.float32)}
    write_adapter(tmp_path / "adapters" / "other.onnx_adapter", other)
    (tmp_path / "adapters" / "junk.onnx_adapter").write_bytes(b"junk")
    return tmp_path


def test_the_adapter_is_switched_per_session_and_none_is_the_base(small):
    feeds = {"x": np.ones((1, 3), np.float32)}
    found = {name: adapter_session(small, name).run(["logits"], feeds)[0][0, 0] for name in ("one", "two", None)}
    assert found == {"one": 7.0, "two": -11.0, None: 1.0}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("half", "1 missing: p.lora_B"),
        ("other", "1 missing: p.lora_B; 1 without a place: q.lora_B"),
        ("junk", "cannot be read"),
        ("three", "Adapters: half, junk, one, other, two"),
    ],
)
def test_a_file_that_onnxruntime_would_run_in_part_is_refused(small, name, message):
    with pytest.raises(CheckpointError, match=message):
        adapter_session(small, name)


def test_adapters_of_several_base_models_share_no_graph():
    adapters = {
        name: Checkpoint(kind="adapter", path=Path(name), key=name, base_model=base)
        for name, base in (("one", "org/a"), ("two", "org/b"))
    }
    with pytest.raises(InputError, match=r"one: org/a; two: org/b"):
        adapters_inputs(adapters, "fp32")


def test_a_precision_that_would_round_the_adapters_is_refused():
    adapter = Checkpoint(kind="adapter", path=Path("one"), key="one", base_model="org/a")
    with pytest.raises(ExportError, match="fp32, int8, int8-dynamic, int4"):
        adapters_inputs({"one": adapter}, "fp16")


def test_a_whole_model_is_no_adapter(source, tmp_path):
    with pytest.raises(InputError, match="has no adapter"):
        adapters_to_onnx({"run": source}, tmp_path)


def saved_adapter(
    base: Path, folder: Path, *, rank: int, alpha: int, targets: list[str], dora: bool = False
) -> Checkpoint:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(rank)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, task_type="CAUSAL_LM", use_dora=dora)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, value in adapted.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            value.data.normal_(std=0.2)
    adapted.save_pretrained(folder)
    return Checkpoint(kind="adapter", path=folder, key=folder.name, base_model=str(base))


@pytest.fixture
def adapters(source, tmp_path):
    targets = ["q_proj", "down_proj"]
    return {
        "one": saved_adapter(source.path, tmp_path / "one", rank=4, alpha=8, targets=targets),
        "two": saved_adapter(source.path, tmp_path / "two", rank=8, alpha=4, targets=targets),
    }


def test_adapters_on_other_layers_or_with_more_than_two_matrices_are_refused(source, adapters, tmp_path):
    other = saved_adapter(source.path, tmp_path / "other", rank=2, alpha=2, targets=["v_proj"])
    with pytest.raises(InputError, match="different layers"):
        adapters_to_onnx({**adapters, "other": other}, tmp_path / "out")
    dora = saved_adapter(source.path, tmp_path / "dora", rank=2, alpha=2, targets=["v_proj"], dora=True)
    with pytest.raises(InputError, match="use_dora"):
        adapters_to_onnx({"dora": dora}, tmp_path / "out")


def test_adapters_on_other_base_weights_are_refused(source, adapters, tmp_path):
    from safetensors.numpy import load_file, save_file

    other = Path(shutil.copytree(source.path, tmp_path / "other-base"))
    weights = load_file(other / "model.safetensors")
    name = next(key for key in weights if "up_proj" in key)
    weights[name] = weights[name] * np.float32(1.01)
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    moved = saved_adapter(other, tmp_path / "moved", rank=2, alpha=2, targets=["q_proj", "down_proj"])
    from slmcheck.export.adapters import write_adapters
    from slmcheck.export.precisions import precision_of

    with pytest.raises(InputError, match=r"different base weights: 1 of \d+ differ"):
        write_adapters({"one": adapters["one"], "moved": moved}, tmp_path / "out", precision_of("fp32"), {})


@pytest.mark.slow
def test_each_adapter_agrees_with_pytorch_and_none_with_the_base_model(source, adapters, tmp_path):
    from slmcheck.backends import load
    from slmcheck.parity import breaches, compare

    folder = tmp_path / "graph"
    adapters_to_onnx(adapters, folder)
    exported = Checkpoint(kind="onnx", path=folder, key="graph")
    references = {"one": adapters["one"], "two": adapters["two"], None: source}
    for name, reference in references.items():
        rows = compare(load(reference), load_adapted(exported, name), EXAMPLES, recipe=RECIPE)
        assert breaches(rows, "fp32") == (), name
    crossed = compare(load(adapters["one"]), load_adapted(exported, "two"), EXAMPLES, recipe=RECIPE)
    assert breaches(crossed, "fp32")
    decoders = [
        load(adapters["two"]).decoder(rows=2, length=40),
        load_adapted(exported, "two").decoder(rows=2, length=40),
    ]
    logits = [decoder.add([[1, 50, 60, 70], [1, 9]]) for decoder in decoders]
    for _ in range(8):
        np.testing.assert_allclose(logits[1], logits[0], atol=1e-4, rtol=1e-4)
        logits = [decoder.step(logits[0].argmax(axis=1)) for decoder in decoders]
    again = tmp_path / "again"
    adapters_to_onnx(adapters, again)
    assert (again / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
    shutil.rmtree(again)


@pytest.mark.slow
def test_a_quantised_base_takes_the_same_adapters(source, adapters, tmp_path):
    adapters_to_onnx(adapters, tmp_path / "fp32")
    adapters_to_onnx(adapters, tmp_path / "int8", "int8")
    sizes = [(tmp_path / name / "model.onnx").stat().st_size for name in ("fp32", "int8")]
    assert sizes[1] < sizes[0]
    names = ("one", "two", None)
    logits = {name: _first_logits(tmp_path / "int8", name) for name in names}
    assert all(np.isfinite(found).all() for found in logits.values())
    assert np.abs(logits["one"] - logits["two"]).max() > 0.1
    np.testing.assert_allclose(logits["one"], _first_logits(tmp_path / "fp32", "one"), atol=1.0)


def _first_logits(folder: Path, name: str | None) -> np.ndarray:
    model = load_adapted(Checkpoint(kind="onnx", path=folder, key="k"), name)
    return model.decoder(rows=1, length=8).add([[1, 50, 60]])
