"""Damaged and foreign files are one clear error before or at the first comparison, never agreement and no traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from slmcheck.backends import load
from slmcheck.errors import CheckpointError, PredictionError, SlmcheckError
from slmcheck.parity import compare
from slmcheck.records import Checkpoint, DataSpec, Example, Recipe
from tests.parity import zoo

RECIPE = Recipe(name="s/r", base_model="b", task="generation", trainer="lora", data=DataSpec(answer="a"))
ROWS = [Example(id="e", row={}, prompt="Q: ok\nA:", answer=" yes", source="t.jsonl:1")]


def asked(model: Path, graph: Path) -> None:
    """Load both and compare them, as the default gate does first."""
    reference = load(Checkpoint(kind="model", path=model, key="source"))
    compare(reference, load(Checkpoint(kind="onnx", path=graph, key="graph")), ROWS, recipe=RECIPE)


def cut_in_half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def junk(file: Path) -> None:
    file.write_bytes(b"not a graph" * 1000)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def zeroed_in_part(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = bytes(4096)
    file.write_bytes(bytes(content))


def zeroed(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def missing(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("damage", [cut_in_half, junk, empty, zeroed_in_part, zeroed, missing])
def test_a_damaged_file_is_said_to_be_damaged(damage, exported_model, tmp_path):
    graph = Path(shutil.copytree(exported_model[1], tmp_path / "graph"))
    damage(graph / "model.onnx")
    with pytest.raises(CheckpointError, match=r"model\.onnx is (damaged|missing)"):
        asked(exported_model[0], graph)


def opset_newer(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def ir_newer(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def input_renamed(model: onnx.ModelProto) -> None:
    editor = zoo.Editor(model)
    editor.reroute("input_ids", "tokens")
    next(one for one in editor.model.graph.input if one.name == "input_ids").name = "tokens"
    model.CopyFrom(editor.model)


def type_changed(model: onnx.ModelProto) -> None:
    next(one for one in model.graph.input if one.name == "position_ids").type.tensor_type.elem_type = 1


def rank_changed(model: onnx.ModelProto) -> None:
    next(one for one in model.graph.input if one.name == "input_ids").type.tensor_type.shape.dim.add().dim_value = 1


def unknown_operator(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Sigmoid").op_type = "Sigmoidal"


def unknown_domain(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Sigmoid").domain = "example.invalid"


def no_graph(model: onnx.ModelProto) -> None:
    model.graph.Clear()


EDITS = [
    opset_newer, ir_newer, input_renamed, type_changed, rank_changed, unknown_operator, unknown_domain, no_graph,
]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_a_graph_that_cannot_be_asked_is_said_so(edit, exported_model, tmp_path):
    model = onnx.load(exported_model[1] / "model.onnx")
    edit(model)
    graph = zoo.write(model, tmp_path / "graph", beside=exported_model[1])
    with pytest.raises(CheckpointError) as raised:
        asked(exported_model[0], graph)
    lines = str(raised.value).splitlines()
    assert 2 <= len(lines) <= 40
    assert "Traceback" not in str(raised.value)


@pytest.mark.parametrize("ids", [[1, 5, 900], [1, -3, 7]])
def test_ids_outside_the_vocabulary_are_said_so(ids, exported_model):
    other = load(Checkpoint(kind="onnx", path=exported_model[1], key="graph"))
    from slmcheck.backends import PaddedBatch

    batch = PaddedBatch.of([ids], pad_id=0, pad_left=False)
    with pytest.raises(PredictionError, match="do not fit the 260"):
        other.logits(batch)


def test_weights_that_are_no_numbers_are_no_agreement(exported_model, tmp_path):
    editor = zoo.Editor(onnx.load(exported_model[1] / "model.onnx"))
    node = editor.of("model.layers.1.mlp.up_proj", "MatMul")[0]
    editor.change(node, lambda array: np.full_like(array, np.nan))
    graph = zoo.write(editor.model, tmp_path / "graph", beside=exported_model[1])
    with pytest.raises(SlmcheckError, match="not numbers"):
        asked(exported_model[0], graph)
