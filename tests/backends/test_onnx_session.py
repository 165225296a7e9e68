"""What a graph file may be wrong in, and what is said of it: onnxruntime names lines of its own source, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slmcheck.backends.onnx_session import open_session, read_graph
from slmcheck.backends.onnx_signature import Expected, signature_of
from slmcheck.errors import CheckpointError


def graph(
    *,
    opset: int = 20,
    ir: int = 10,
    operator: str = "Relu",
    domain: str = "",
    imports: Sequence[tuple[str, int]] = (),
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    made = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["z"]), helper.make_node(operator, ["z"], ["y"], domain=domain)],
        "g",
        [helper.make_tensor_value_info("x", kind, [None, 8])],
        [helper.make_tensor_value_info("y", kind, [None, 8])],
        [helper.make_tensor("w", kind, [8], np.ones(8, dtype=np.float32))],
    )
    sets = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, number) for name, number in imports)]
    return helper.make_model(made, opset_imports=sets, ir_version=ir)


@pytest.fixture
def with_data(tmp_path) -> Path:
    """A graph whose weights lie in a file beside it."""
    model = graph()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones(8, dtype=np.float32), "w"))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    return tmp_path / "m.onnx"


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def test_a_whole_graph_opens(with_data):
    (found,) = open_session(with_data).run(None, {"x": np.zeros((2, 8), dtype=np.float32)})
    assert found.tolist() == [[1.0] * 8] * 2
    assert [one.name for one in read_graph(with_data).data] == ["m.onnx.data"]


def test_a_missing_graph_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no graph .*m\.onnx"):
        open_session(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "it is empty"), (b"junk that is no graph", "21 bytes are no whole graph"), (None, "are no whole graph")],
    ids=["empty", "junk", "half"],
)
def test_a_damaged_file_is_named_with_its_size(tmp_path, content, said):
    file = saved(graph(), tmp_path)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if content is None else content)
    with pytest.raises(CheckpointError, match=rf"m\.onnx is damaged: .*{said}(?s:.)*slmcheck cache verify"):
        open_session(file)


def test_missing_data_asks_for_both_files(with_data):
    with_data.with_name("m.onnx.data").unlink()
    with pytest.raises(CheckpointError, match=r"m\.onnx\.data is missing(?s:.)*Copy both files"):
        open_session(with_data)


def test_short_data_asks_for_both_files(with_data):
    data = with_data.with_name("m.onnx.data")
    data.write_bytes(data.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"m\.onnx\.data is damaged: 28 bytes, m\.onnx reads 32(?s:.)*both files"):
        open_session(with_data)


def test_data_outside_the_folder_is_refused(with_data):
    model = onnx.load(with_data, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../m.onnx.data"
    with_data.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="outside its folder"):
        open_session(with_data)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (graph(ir=99), r"needs ONNX IR version 99; onnxruntime \S+ knows \d+(?s:.)*Upgrade onnxruntime"),
        (graph(opset=99), r"needs opset 99; onnxruntime \S+ knows \d+(?s:.)*Upgrade onnxruntime"),
        (graph(operator="Nonsense"), r"uses the operator Nonsense, which onnxruntime \S+ does not have"),
        (
            graph(operator="Nonsense", domain="my.ops", imports=[("my.ops", 1)]),
            r"uses the operator my\.ops:Nonsense, which onnxruntime",
        ),
        (graph(domain="my.ops"), r"uses operators of the domain 'my\.ops', which it does not import"),
        (graph(operator="Neg", kind=TensorProto.BFLOAT16), r"no CPU kernel for (?s:.)*export as fp32"),
    ],
    ids=["ir", "opset", "operator", "custom operator", "domain", "kernel"],
)
def test_a_graph_that_onnxruntime_refuses_says_what_to_do(tmp_path, model, said):
    with pytest.raises(CheckpointError, match=said):
        open_session(saved(model, tmp_path))


def test_a_provider_that_is_not_there_never_falls_back_to_the_cpu(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no provider CUDAExecutionProvider(?s:.)*CPUExecutionProvider"):
        open_session(saved(graph(), tmp_path), provider="CUDAExecutionProvider")


def language_graph(**changes: tuple[int, list[int | str]] | None) -> onnx.ModelProto:
    """A graph with inputs and outputs of a language model of one layer; a change of None leaves one out."""
    past = (TensorProto.FLOAT, ["rows", 2, "past", 8])
    inputs = {
        "input_ids": (TensorProto.INT64, ["rows", "tokens"]),
        "attention_mask": (TensorProto.INT64, ["rows", "all"]),
        "position_ids": (TensorProto.INT64, ["rows", "tokens"]),
        "past_key_values.0.key": past,
        "past_key_values.0.value": past,
    }
    outputs = {
        "logits": (TensorProto.FLOAT, ["rows", "tokens", 260]),
        "present.0.key": (TensorProto.FLOAT, ["rows", 2, "all", 8]),
        "present.0.value": (TensorProto.FLOAT, ["rows", 2, "all", 8]),
    }
    for name, change in changes.items():
        own = outputs if name in outputs else inputs
        own.pop(name, None)
        if change is not None:
            own[name] = change
    nodes = [
        helper.make_node("ConstantOfShape", [f"of_{len(of)}"], [name], value=helper.make_tensor("v", kind, [1], [0]))
        for name, (kind, of) in outputs.items()
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [
            *(helper.make_tensor_value_info(name, *of) for name, of in inputs.items()),
            # Inputs with a default: no constants, so that onnxruntime infers no sizes from them.
            *(helper.make_tensor_value_info(f"of_{rank}", TensorProto.INT64, [rank]) for rank in (3, 4)),
        ],
        [helper.make_tensor_value_info(name, *of) for name, of in outputs.items()],
        [helper.make_tensor(f"of_{rank}", TensorProto.INT64, [rank], [1] * rank) for rank in (3, 4)],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


EXPECTED = Expected(vocabulary=260, layers=1, heads=2, width=8)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input_ids": None, "tokens": (TensorProto.INT64, ["rows", "tokens"])}, r"input_ids +int64 .*missing"),
        ({"input_ids": (TensorProto.FLOAT, ["rows", "tokens"])}, r"input_ids +int64 or int32 .* +float"),
        ({"input_ids": (TensorProto.INT64, ["rows"])}, r"input_ids +int64 or int32 \(rows, tokens\) +int64 \(rows\)"),
        ({"input_ids": (TensorProto.INT64, [1, "tokens"])}, r"input_ids .* +int64 \(1, tokens\)"),
        ({"use_cache_branch": (TensorProto.BOOL, [1])}, r"use_cache_branch +nothing +bool \(1\)"),
        ({"past_key_values.0.value": None}, r"past_key_values\.0\.value .*missing"),
        ({"past_key_values.0.key": (TensorProto.FLOAT, ["rows", 4, "past", 8])}, r"past_key_values\.0\.key .*rows, 4"),
        ({"present.0.key": None}, r"present\.0\.key .*missing"),
        ({"past_key_values.1.key": (TensorProto.FLOAT, ["rows", 2, "past", 8])}, r"past_key_values\.1\.key +1 layers"),
    ],
    ids=["name", "type", "rank", "one row", "another input", "no value", "heads", "no present", "more layers"],
)
def test_inputs_that_differ_are_a_table_of_expected_and_found(tmp_path, changes, said):
    session = open_session(saved(language_graph(**changes), tmp_path))
    with pytest.raises(CheckpointError, match=rf"(?s)name +expected +found.*{said}") as raised:
        signature_of(session, EXPECTED)
    assert "Export the checkpoint again" in str(raised.value)


def test_another_vocabulary_is_seen_before_the_first_run(tmp_path):
    session = open_session(saved(language_graph(), tmp_path))
    with pytest.raises(CheckpointError, match=r"logits +float or float16 \(rows, tokens, 300\) +float"):
        signature_of(session, Expected(vocabulary=300))


def test_names_of_other_exporters_are_known(tmp_path):
    renamed = {
        "past_key_values.0.key": None,
        "past_key_values.0.value": None,
        "input.past_key_values.layers.0.keys": (TensorProto.FLOAT, ["rows", 2, "past", 8]),
        "input.past_key_values.layers.0.values": (TensorProto.FLOAT, ["rows", 2, "past", 8]),
    }
    found = signature_of(open_session(saved(language_graph(**renamed), tmp_path)), EXPECTED)
    assert [one.name for one in found.past] == [
        "input.past_key_values.layers.0.keys",
        "input.past_key_values.layers.0.values",
    ]
    assert [one.present for one in found.past] == ["present.0.key", "present.0.value"]


def test_a_graph_without_a_past_reads_whole_texts(tmp_path):
    plain = dict.fromkeys(
        ["past_key_values.0.key", "past_key_values.0.value", "present.0.key", "present.0.value", "position_ids"]
    )
    found = signature_of(open_session(saved(language_graph(**plain), tmp_path)), EXPECTED)
    assert found.past == ()
    assert found.positions is None
