"""Broken exports: faults that are planted in a right graph, each with the module that a location should name.

Local faults take a layer. A graph is edited in memory; equal constants are shared by the exporter, so that each fault
gives its node a constant of its own.
"""

from __future__ import annotations

import ast
import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from slmcheck.backends.onnx_folder import read_facts, write_facts

LINEARS = {
    "q_proj": "self_attn.q_proj", "k_proj": "self_attn.k_proj", "v_proj": "self_attn.v_proj",
    "o_proj": "self_attn.o_proj", "gate_proj": "mlp.gate_proj", "up_proj": "mlp.up_proj", "down_proj": "mlp.down_proj",
}  # fmt: skip


class Editor:
    """A graph under edit; a copy, so that the right one stays."""

    def __init__(self, right: onnx.ModelProto, seed: int = 0) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(right)
        self.rng = np.random.default_rng(seed)

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        return list(self.model.graph.node)

    def scope(self, node: onnx.NodeProto) -> str:
        text = next((entry.value for entry in node.metadata_props), "[]")
        scopes = ast.literal_eval(text)
        return str(scopes[-2]).removeprefix("model.") if len(scopes) > 1 else ""

    def of(self, path: str, *ops: str) -> list[onnx.NodeProto]:
        """Nodes that were exported from exactly this module."""
        found = [node for node in self.nodes if self.scope(node) == path and (not ops or node.op_type in ops)]
        assert found, f"the graph has no {' or '.join(ops) or 'node'} of {path}"
        return found

    def constant(self, name: str) -> np.ndarray | None:
        for one in self.model.graph.initializer:
            if one.name == name:
                return numpy_helper.to_array(one)
        return None

    def give(self, node: onnx.NodeProto, place: int, array: np.ndarray) -> None:
        """Let a node read a constant of its own."""
        name = f"{node.input[place]}_of_{node.name}_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.array(array, order="C"), name))
        node.input[place] = name

    def change(self, node: onnx.NodeProto, edit: Callable[[np.ndarray], np.ndarray], *, size: int = 2) -> None:
        """Change the constant of a node that has at least `size` values."""
        for place, name in enumerate(node.input):
            array = self.constant(name)
            if array is not None and array.size >= size and array.dtype.kind == "f":
                self.give(node, place, edit(array).astype(array.dtype))
                return
        raise AssertionError(f"{node.name} reads no constant")

    def insert(self, before: onnx.NodeProto, op: str, inputs: list[str], output: str, scope: str, **attributes) -> None:
        """Put a node in front of another, exported from a module."""
        node = helper.make_node(op, inputs, [output], name=f"node_{output}", **attributes)
        scopes = ["", "model", f"model.{scope}" if scope else "model", output]
        node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=repr(scopes))
        self.model.graph.node.insert(self.nodes.index(before), node)

    def readers(self, name: str) -> Iterator[onnx.NodeProto]:
        return (node for node in self.nodes if name in node.input)

    def reroute(self, old: str, new: str, *, but: tuple[str, ...] = ()) -> None:
        """Let every reader of a tensor read another, but nodes of these names."""
        for node in self.nodes:
            if node.name not in but:
                for place, name in enumerate(node.input):
                    if name == old:
                        node.input[place] = new

    def add_constant(self, name: str, array: np.ndarray) -> str:
        self.model.graph.initializer.append(numpy_helper.from_array(array, name))
        return name


@dataclass(frozen=True)
class Fault:
    """One way to break an export."""

    plant: Callable[[Editor, int], str]
    """Breaks the graph in a layer and gives the place that a location should name."""
    stage: str = "module"
    """`weights` or `module`: what finds it."""
    node_says: str = ""
    """What the first differing node should say."""


def _linear(editor: Editor, layer: int) -> tuple[onnx.NodeProto, str]:
    path = f"model.layers.{layer}.{LINEARS[editor.rng.choice(sorted(LINEARS))]}"
    return editor.of(path, "MatMul")[0], path


def _weight(edit: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Callable[[Editor, int], str]:
    def plant(editor: Editor, layer: int) -> str:
        node, path = _linear(editor, layer)
        editor.change(node, lambda array: edit(array, editor.rng))
        return path

    return plant


def _one_off(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    changed = array.copy()
    changed.reshape(-1)[rng.integers(array.size)] += 4 * array.std()
    return changed


def _head_weight(editor: Editor, layer: int) -> str:
    """Of an untied head its own matrix, of a tied one the transposition that it reads."""
    nodes = [*editor.of("lm_head", "MatMul"), *(node for node in editor.nodes if node.op_type == "Transpose")]
    node = next(one for one in nodes if any(editor.constant(name) is not None for name in one.input))
    editor.change(node, lambda array: _one_off(array, editor.rng))
    return "lm_head"


def _epsilon(norm: str) -> Callable[[Editor, int], str]:
    def plant(editor: Editor, layer: int) -> str:
        path = f"model.layers.{layer}.{norm}"
        editor.change(editor.of(path, "Add")[0], lambda array: np.full_like(array, 1e-2), size=1)
        return path

    return plant


def _norm_weight_dropped(editor: Editor, layer: int) -> str:
    path = f"model.layers.{layer}.input_layernorm"
    editor.change(editor.of(path, "Mul")[-1], np.ones_like)
    return path


def _scale(editor: Editor, layer: int) -> str:
    path = f"model.layers.{layer}.self_attn"
    node = next(
        one for one in editor.of(path, "Mul") if (c := editor.constant(one.input[1])) is not None and c.size == 1
    )
    editor.change(node, lambda array: array * 1.25, size=1)
    return f"{path}.o_proj (input)"


def _heads_swapped(name: str) -> Callable[[Editor, int], str]:
    def plant(editor: Editor, layer: int) -> str:
        path = f"model.layers.{layer}.self_attn.{name}"
        width = next(
            numpy_helper.to_array(one).size * 2 for one in editor.model.graph.initializer if "inv_freq" in one.name
        )
        node = editor.of(path, "MatMul")[0]
        editor.change(node, lambda array: np.roll(array, width, axis=1))  # (in, heads * width): each head the next one
        return path

    return plant


def _rope_layout(editor: Editor, layer: int) -> str:
    """Halves of a head are turned the other way round."""
    path = f"model.layers.{layer}.self_attn"
    negated = editor.of(path, "Neg")[0]
    joined = next(node for node in editor.of(path, "Concat") if negated.output[0] in node.input)
    joined.input[:] = [joined.input[1], joined.input[0]]
    return f"{path}.o_proj (input)"


def _mask_ignored(editor: Editor, layer: int) -> str:
    path = f"model.layers.{layer}.self_attn"
    added = next(
        node for node in editor.of(path, "Add")
        if any(one.op_type == "Where" and one.output[0] in node.input for one in editor.nodes)
    )  # fmt: skip
    chosen = next(node for node in editor.nodes if node.op_type == "Where" and node.output[0] == added.input[1])
    causal = next(node for node in editor.nodes if node.op_type == "And" and node.output[0] == "bitwise_and")
    expand = next(node for node in editor.nodes if node.output[0] == chosen.input[0])
    editor.insert(added, "Expand", [causal.output[0], expand.input[1]], f"causal_of_{layer}", path)
    editor.insert(added, "Where", [f"causal_of_{layer}", *chosen.input[1:]], f"mask_of_{layer}", path)
    added.input[1] = f"mask_of_{layer}"
    return f"{path}.o_proj (input)"


def _activation(editor: Editor, layer: int) -> str:
    path = f"model.layers.{layer}.mlp.act_fn"
    editor.of(path, "Sigmoid")[0].op_type = "HardSigmoid"
    return path


def _residual_dropped(editor: Editor, layer: int) -> str:
    path = f"model.layers.{layer}"
    added = editor.of(path, "Add")[0]
    editor.reroute(added.output[0], added.input[1])
    editor.model.graph.node.remove(added)
    return f"{path}.post_attention_layernorm (input)"


def _theta(factor: float) -> Callable[[Editor, int], str]:
    def plant(editor: Editor, layer: int) -> str:
        node = next(one for one in editor.of("model.rotary_emb", "Mul") if "inv_freq" in "".join(one.input))
        width = next(array.size for name in node.input if (array := editor.constant(name)) is not None)
        editor.change(node, lambda array: array * factor ** (-np.arange(width) / width).astype(np.float32))
        return "model.rotary_emb"

    return plant


def _embedding_row(editor: Editor, layer: int) -> str:
    """Row of a token that the rows hold; a tied head reads the right one."""

    def edit(array: np.ndarray) -> np.ndarray:
        changed = array.copy()
        changed[editor.frequent] += 0.1
        return changed

    editor.change(editor.of("model.embed_tokens", "Gather")[0], edit)
    return "model.embed_tokens"


Editor.frequent = 1  # type: ignore[attr-defined]  # BOS stands in every row
HALF = _weight(lambda array, rng: array.astype(np.float16).astype(np.float32))
CLIP = _weight(lambda array, rng: np.clip(array, -0.4 * np.abs(array).max(), 0.4 * np.abs(array).max()))
LOCAL: dict[str, Fault] = {
    "a matrix stored as fp16": Fault(HALF, "weights"),
    "epsilon of the first norm 1e-2": Fault(_epsilon("input_layernorm"), node_says="0.01"),
    "epsilon of the second norm 1e-2": Fault(_epsilon("post_attention_layernorm"), node_says="0.01"),
    "a matrix times 1.01": Fault(_weight(lambda array, rng: array * 1.01), "weights"),
    "one weight four deviations off": Fault(_weight(_one_off), "weights"),
    "one weight of the head": Fault(_head_weight, "weights"),
    "a matrix clipped at .4 of its largest": Fault(CLIP, "weights"),
    "attention scale times 1.25": Fault(_scale, node_says="the fresh export has"),
    "query heads swapped": Fault(_heads_swapped("q_proj"), "weights"),
    "key heads swapped": Fault(_heads_swapped("k_proj"), "weights"),
    "rotary layout": Fault(_rope_layout, node_says="it reads"),
    "weight of a norm dropped": Fault(_norm_weight_dropped, "weights"),
    "mask ignored in a layer": Fault(_mask_ignored, node_says="Expand"),
    "another activation": Fault(_activation, node_says="HardSigmoid in place of Sigmoid"),
    "residual dropped": Fault(_residual_dropped, node_says="Add is missing"),
    "rotary theta times 1.05": Fault(_theta(1.05), "weights"),
    "rotary theta times 50": Fault(_theta(50), "weights"),
    "rotary theta times 1.01": Fault(_theta(1.01), "weights"),
    "an embedding row + .1": Fault(_embedding_row, "weights"),
}
"""Local to a module; the weights of a graph are compared before it runs."""
ONCE = ("one weight of the head", "rotary theta times 1.05", "rotary theta times 50", "rotary theta times 1.01",
        "an embedding row + .1")  # fmt: skip
"""Faults that no layer has."""


def ids_shifted(editor: Editor) -> None:
    """Every id + 1, inside the graph."""
    node = editor.of("model.embed_tokens", "Gather")[0]
    rows = next(array for name in node.input if (array := editor.constant(name)) is not None).shape[0]
    one, size = editor.add_constant("one_more", np.asarray(1)), editor.add_constant("vocabulary", np.asarray(rows))
    editor.insert(node, "Add", ["input_ids", one], "ids_plus", "")
    editor.insert(node, "Mod", ["ids_plus", size], "ids_shifted", "")
    node.input[1] = "ids_shifted"


def positions_plus(editor: Editor, *, only_behind_a_past: bool) -> None:
    """Every position + 1, or those of decode steps only."""
    first = next(editor.readers("position_ids"))
    added = editor.add_constant("one_more", np.asarray(1))
    if only_behind_a_past:
        past = next(one.name for one in editor.model.graph.input if one.name.endswith("0.key"))
        axis = editor.add_constant("zero", np.asarray([0]))
        editor.insert(first, "Shape", [past], "past_shape", "", start=2, end=3)
        editor.insert(first, "Min", ["past_shape", editor.add_constant("most", np.asarray([1]))], "has_past", "")
        editor.insert(first, "Squeeze", ["has_past", axis], "added", "")
        added = "added"
    editor.insert(first, "Add", ["position_ids", added], "positions_shifted", "")
    editor.reroute("position_ids", "positions_shifted", but=("node_positions_shifted",))


def positions_count_padding(editor: Editor) -> None:
    """Positions of the columns in place of those of the tokens."""
    first = next(editor.readers("position_ids"))
    zero, axis = editor.add_constant("none", np.asarray(0)), editor.add_constant("row", np.asarray([1]))
    editor.insert(first, "Mul", ["position_ids", zero], "flat", "")
    editor.insert(first, "Add", ["flat", editor.add_constant("one_more", np.asarray(1))], "ones", "")
    editor.insert(first, "CumSum", ["ones", editor.add_constant("along", np.asarray(1))], "counted", "", exclusive=1)
    editor.insert(first, "Identity", ["counted"], "positions_counted", "")
    del axis
    editor.reroute("position_ids", "positions_counted", but=("node_flat",))


def mask_missing(editor: Editor) -> None:
    """No layer looks at the attention mask."""
    for node in editor.nodes:
        if node.op_type == "And" and node.output[0] == "bitwise_and_1":
            editor.reroute(node.output[0], node.input[0])
            return
    raise AssertionError("the graph combines no masks")


def first_two_positions_equal(editor: Editor) -> None:
    """Positions 0, 0, 1, 2: an off-by-one at the beginning only."""
    first = next(editor.readers("position_ids"))
    one, zero = editor.add_constant("one_more", np.asarray(1)), editor.add_constant("nothing", np.asarray(0))
    editor.insert(first, "Sub", ["position_ids", one], "less", "")
    editor.insert(first, "Max", ["less", zero], "positions_equal", "")
    editor.reroute("position_ids", "positions_equal", but=("node_less",))


def stale(editor: Editor) -> None:
    """Weights of another checkpoint: every matrix a little further trained."""
    for one in editor.model.graph.initializer:
        array = numpy_helper.to_array(one)
        if array.ndim == 2 or (array.size > 8 and array.dtype.kind == "f"):
            moved = array + editor.rng.normal(scale=0.05 * array.std() + 1e-3, size=array.shape).astype(array.dtype)
            one.CopyFrom(numpy_helper.from_array(moved, one.name))


def write(model: onnx.ModelProto, folder: Path, *, beside: Path | None = None) -> Path:
    """Write a graph as an export that nobody changed afterwards; other files are those of the right export."""
    if beside is not None:
        shutil.copytree(beside, folder, dirs_exist_ok=True)
    facts = read_facts(folder)
    onnx.save(model, folder / "model.onnx")
    content = (folder / "model.onnx").read_bytes()
    write_facts(
        folder,
        replace(
            facts,
            sizes={**facts.sizes, "model.onnx": len(content)},
            sha256={**facts.sha256, "model.onnx": hashlib.sha256(content).hexdigest()},
        ),
    )
    return folder


def path_parts(scope: str) -> list[str]:
    """`model.layers.1.mlp` -> model, layers.1, mlp: the parts of a path as TorchScript names a node."""
    parts: list[str] = []
    for word in scope.split(".") if scope else []:
        if word.isdigit():
            parts[-1] += f".{word}"
        else:
            parts.append(word)
    return parts
