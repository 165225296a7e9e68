"""Planted faults are found by the default gate, and local ones are named by module and node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from slmcheck.backends import LanguageModel, load
from slmcheck.parity import TOLERANCES, breaches, check_conditions, compare, judge_conditions
from slmcheck.records import Checkpoint, DataSpec, Example, Location, Recipe
from tests.parity import zoo

RECIPE = Recipe(name="s/r", base_model="b", task="generation", trainer="lora", data=DataSpec(answer="a"))
TEXTS = ["The price went up.", "A reply of medium length, with numbers: 12, 40.", "ok", "x" * 50, "Wo bist du?"]


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, its right graph, and the rows that both read."""

    folder: Path
    graph: onnx.ModelProto
    export: Path
    """The folder of the right graph."""
    scratch: Path

    @property
    def examples(self) -> list[Example]:
        return [
            Example(id=f"e{index}", row={}, prompt=f"Q: {text}\nA:", answer=f" {text[::-1]}", source=f"t.jsonl:{index}")
            for index, text in enumerate(TEXTS * 2)
        ]

    def sequences(self, reference: LanguageModel) -> list[Sequence[int]]:
        from slmcheck.data.encoding import encode

        return [encode(one, reference.tokenizer, recipe=RECIPE).ids for one in self.examples]


@pytest.fixture(scope="module")
def subject(exported_model, tmp_path_factory) -> Subject:
    """The shared export with norms that differ: as they are drawn, all of them are ones and share one constant."""
    from slmcheck.backends.pytorch_loading import load_base

    folder = tmp_path_factory.mktemp("zoo")
    import shutil

    import torch

    model = load_base(str(exported_model[0]), torch.float32, trust_remote_code=False)
    editor = zoo.Editor(onnx.load(exported_model[1] / "model.onnx"))
    generator = torch.Generator().manual_seed(3)
    for path, module in model.named_modules():
        if path.endswith("norm"):
            module.weight.data += 0.3 * torch.randn(module.weight.shape, generator=generator)
            editor.change(editor.of(path, "Mul")[-1], lambda array, w=module.weight: w.detach().numpy())
    shutil.copytree(exported_model[0], folder / "model")
    model.save_pretrained(folder / "model")
    shutil.copytree(exported_model[1], folder / "graph")
    zoo.write(editor.model, folder / "graph")
    return Subject(folder / "model", editor.model, folder / "graph", folder)


@pytest.fixture(scope="module")
def reference(subject) -> LanguageModel:
    return load(Checkpoint(kind="model", path=subject.folder, key="source"))


@pytest.fixture(scope="module")
def pytorch(subject):
    from slmcheck.backends.pytorch_loading import load_merged

    return load_merged(Checkpoint(kind="model", path=subject.folder, key="source"))


def gate(subject: Subject, reference: LanguageModel, graph: onnx.ModelProto) -> list[str]:
    """What the default gate finds: scores of all rows, and a sample of rows asked in every way."""
    folder = zoo.write(graph, subject.scratch / "altered", beside=subject.export)
    other = load(Checkpoint(kind="onnx", path=folder, key="altered"))
    found = [one.score for one in breaches(compare(reference, other, subject.examples, recipe=RECIPE), "fp32")]
    conditions = check_conditions(reference, other, subject.examples, recipe=RECIPE)
    return [*found, *(one.text for one in judge_conditions(conditions, TOLERANCES["fp32"]) if not one.passed)]


def located(subject: Subject, reference: LanguageModel, pytorch, graph: onnx.ModelProto) -> Location:
    from slmcheck.parity.locating import Suspect, locate

    file = subject.scratch / "suspect.onnx"
    onnx.save(graph, file)
    suspect = Suspect("s/r", "fp32", file, fresh=lambda: subject.export / "model.onnx")
    return locate(suspect, pytorch, subject.sequences(reference))


def test_a_right_export_agrees_at_every_place(subject, reference, pytorch):
    assert gate(subject, reference, subject.graph) == []
    found = located(subject, reference, pytorch, subject.graph)
    assert (found.outcome, found.modules, found.weights) == ("agrees", (), ())
    assert found.weights_compared == 21
    assert len(found.errors) == 33
    assert max(one.isolated for one in found.errors) < 1e-6


@pytest.mark.parametrize("name", zoo.LOCAL)
def test_a_local_fault_is_found_and_named(name, subject, reference, pytorch):
    fault = zoo.LOCAL[name]
    editor = zoo.Editor(subject.graph, seed=sum(map(ord, name)))
    expected = fault.plant(editor, 1)
    assert gate(subject, reference, editor.model) != []
    found = located(subject, reference, pytorch, editor.model)
    assert found.modules[:1] == (expected,), found.sentence
    assert found.outcome == fault.stage
    assert found.node is not None
    assert fault.node_says in found.node.what


NOT_LOCAL = {
    "ids": (zoo.ids_shifted, "outside", "the ids that it reads"),
    "stale checkpoint": (zoo.stale, "outside", "another checkpoint"),
    "mask missing": (zoo.mask_missing, "several", "mask or positions"),
    "positions of decode steps + 1": (
        lambda editor: zoo.positions_plus(editor, only_behind_a_past=True), "outside", "only behind a past",
    ),
    "first two positions equal": (zoo.first_two_positions_equal, "outside", "the positions that it reads"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_LOCAL)
def test_a_fault_of_no_layer_is_told_as_what_it_is(name, subject, reference, pytorch):
    plant, outcome, said = NOT_LOCAL[name]
    editor = zoo.Editor(subject.graph)
    plant(editor)
    assert gate(subject, reference, editor.model) != []
    found = located(subject, reference, pytorch, editor.model)
    assert found.outcome == outcome
    assert said in found.sentence


def test_positions_shifted_alike_in_a_rotary_model_are_no_fault(subject, reference):
    editor = zoo.Editor(subject.graph)
    zoo.positions_plus(editor, only_behind_a_past=False)
    found = gate(subject, reference, editor.model)
    assert found == []


def test_a_module_that_reads_what_belongs_to_another_is_named(subject, reference, pytorch):
    editor = zoo.Editor(subject.graph)
    gate_node, up_node = (editor.of(f"model.layers.1.mlp.{name}", "MatMul")[0] for name in ("gate_proj", "up_proj"))
    gate_node.input[1], up_node.input[1] = up_node.input[1], gate_node.input[1]
    found = located(subject, reference, pytorch, editor.model)
    assert {one.module for one in found.weights} == {"model.layers.1.mlp.gate_proj", "model.layers.1.mlp.up_proj"}
    assert "while the parameter stands in" in found.sentence


def test_weights_that_are_no_numbers_are_named(subject, reference, pytorch):
    editor = zoo.Editor(subject.graph)
    node = editor.of("model.layers.0.mlp.up_proj", "MatMul")[0]
    editor.change(node, lambda array: np.where(np.arange(array.size).reshape(array.shape) == 3, np.nan, array))
    found = located(subject, reference, pytorch, editor.model)
    assert found.modules == ("model.layers.0.mlp.up_proj",)
    assert "no numbers" in found.sentence


def test_a_graph_without_scopes_is_mapped_by_its_node_names(subject, reference, pytorch):
    """Node names as TorchScript and the GenAI builder write them."""
    editor = zoo.Editor(subject.graph)
    node = editor.of("model.layers.1.self_attn.v_proj", "MatMul")[0]
    editor.change(node, lambda array: array * 1.5)
    for number, one in enumerate(editor.nodes):
        one.name = "/".join(["", *zoo.path_parts(editor.scope(one)), f"{one.op_type}_{number}"])
        del one.metadata_props[:]
    found = located(subject, reference, pytorch, editor.model)
    assert found.modules == ("model.layers.1.self_attn.v_proj",)
    assert len(found.errors) == 33


def test_a_graph_that_tells_nothing_is_compared_by_its_weights(subject, reference, pytorch):
    editor = zoo.Editor(subject.graph)
    for number, one in enumerate(editor.nodes):
        one.name = f"n{number}"
        del one.metadata_props[:]
    found = located(subject, reference, pytorch, editor.model)
    assert found.errors == ()
    assert "21 of 21 parameters equal bit for bit" in found.evidence[0]


@pytest.fixture(scope="module")
def quantised(subject):
    from slmcheck.export import PRECISIONS
    from slmcheck.export.quantizing import quantized

    def convert(precision: str):
        def at(exclude: Sequence[str]) -> onnx.ModelProto:
            return quantized(onnx.load(subject.export / "model.onnx"), PRECISIONS[precision], exclude=exclude)

        return at

    return convert


def quantised_location(subject, reference, pytorch, convert, precision, edit=lambda graph: None) -> Location:
    from slmcheck.parity.locating import Suspect, locate

    graph = convert(())
    edit(graph)
    file = subject.scratch / "quantised.onnx"
    onnx.save(graph, file)
    suspect = Suspect("s/r", precision, file, lambda: subject.export / "model.onnx", convert)
    return locate(suspect, pytorch, subject.sequences(reference))


@pytest.mark.parametrize("precision", ["fp16", "int8", "int8-dynamic", "int4"])
def test_a_right_quantised_export_is_ranked_with_measured_exclusions(precision, subject, reference, pytorch, quantised):
    found = quantised_location(subject, reference, pytorch, quantised(precision), precision)
    assert found.weights == ()
    assert found.outcome in ("ranked", "spread")
    assert sum(one.is_control for one in found.exclusions) == 1
    assert all(one.kl >= 0 for one in found.exclusions)
    assert not any(one.guilty for one in found.errors)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_scale_ten_percent_too_small_is_named(precision, subject, reference, pytorch, quantised):
    place = 5

    def shrink(graph: onnx.ModelProto) -> None:
        node = [one for one in graph.graph.node if one.op_type == "MatMulNBits"][place]
        scale = next(one for one in graph.graph.initializer if one.name == node.input[2])
        scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(0.9), scale.name))

    found = quantised_location(subject, reference, pytorch, quantised(precision), precision, shrink)
    assert (found.outcome, found.modules) == ("weights", ("model.layers.0.mlp.up_proj",))
    assert found.weights[0].largest > 1.5
    assert "quantisation step" in found.sentence


def test_another_epsilon_in_a_half_precision_graph_is_named(subject, reference, pytorch, quantised):
    def plant(graph: onnx.ModelProto) -> None:
        editor = zoo.Editor(graph)
        right = zoo.Editor(subject.graph)
        name = right.of("model.layers.1.input_layernorm", "Add")[0].name
        node = next(one for one in editor.nodes if one.name == name)
        editor.change(node, lambda array: np.full_like(array, 0.3), size=1)
        graph.CopyFrom(editor.model)

    found = quantised_location(subject, reference, pytorch, quantised("fp16"), "fp16", plant)
    assert found.modules == ("model.layers.1.input_layernorm",)


def test_a_tokenizer_without_bos_is_told_before_any_graph_is_run():
    from slmcheck.parity.concluding import other_tokens

    found = other_tokens("s/r", "fp32", "t.jsonl:1", [9, 8, 7], [1, 9, 8, 7])
    assert found.outcome == "outside"
    assert found.sentence.startswith("The tokenizer of the export reads t.jsonl:1 otherwise than the model's")
    assert "from token 1 on (9 8 7 in place of 1 9 8)" in found.sentence
