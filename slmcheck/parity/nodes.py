"""The first node of a graph that is not as a fresh export of the same checkpoint has it. A leaf module of onnx."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from slmcheck.parity.scopes import ModuleMap
from slmcheck.records import NodeDifference

COMPARABLE = 0.8
"""Least share of equal operators for two graphs to be of one exporter."""
SHOWN = 4
"""Values of a constant that are written out, at most."""


@dataclass(frozen=True, eq=False)
class _Graph:
    proto: onnx.GraphProto
    modules: ModuleMap
    constants: dict[str, onnx.TensorProto]
    makers: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, graph: onnx.GraphProto, modules: ModuleMap) -> _Graph:
        constants = {one.name: one for one in graph.initializer}
        makers = {}
        for place, node in enumerate(graph.node):
            for number, name in enumerate(node.output):
                makers[name] = (place, number)
            if node.op_type == "Constant":
                value = next((one.t for one in node.attribute if one.name == "value"), None)
                if value is not None:
                    constants[node.output[0]] = value
        return cls(graph, modules, constants, makers)

    def signature(self, place: int) -> tuple[str, str]:
        return self.proto.node[place].op_type, self.modules.modules[place]


def first_difference(
    graph: onnx.GraphProto,
    modules: ModuleMap,
    fresh: onnx.GraphProto,
    fresh_modules: ModuleMap,
    *,
    within: Sequence[str] = (),
) -> NodeDifference | None:
    """The first node that differs in operator, attributes, constants or in what it reads.

    Args:
        graph: The graph under test.
        modules: Where its nodes come from.
        fresh: The graph that the exporter writes now.
        fresh_modules: Where its nodes come from.
        within: Modules to look into first, with their own children; the whole graph where they hold no difference.

    Returns:
        The difference; None where the graphs are equal, or are not of one exporter.
    """
    found = list(differences(graph, modules, fresh, fresh_modules))
    inside = [one for one in found if any(_is_within(one.module, path) for path in within)]
    exact = [one for one in inside if one.module in within]
    return next(iter((*exact, *inside, *found)), None)


def differences(
    graph: onnx.GraphProto, modules: ModuleMap, fresh: onnx.GraphProto, fresh_modules: ModuleMap
) -> Iterator[NodeDifference]:
    """Every node that differs, in the order of the graph; none where the graphs are not of one exporter."""
    one, other = _Graph.of(graph, modules), _Graph.of(fresh, fresh_modules)
    signatures = [[found.signature(place) for place in range(len(found.proto.node))] for found in (other, one)]
    matcher = SequenceMatcher(None, signatures[0], signatures[1], autojunk=False)
    if signatures[0] != signatures[1] and matcher.ratio() < COMPARABLE:
        return
    same: dict[int, int] = {}  # place in the graph -> place in the fresh export
    for block in matcher.get_matching_blocks():
        same.update({block.b + step: block.a + step for step in range(block.size)})
    for tag, a_start, a_end, b_start, b_end in matcher.get_opcodes():
        if tag == "equal":
            for step in range(a_end - a_start):
                yield from _inside(one, b_start + step, other, a_start + step, same)
            continue
        yield from _replaced(one, range(b_start, b_end), other, range(a_start, a_end))


def nodes_of(graph: onnx.GraphProto, modules: ModuleMap, path: str, limit: int = 6) -> str:
    """The operators of a module in words, for a graph that no fresh export compares with."""
    names = [graph.node[place].op_type for place in modules.within(path) if modules.modules[place] == path]
    names = names or [graph.node[place].op_type for place in modules.within(path)]
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _is_within(module: str, path: str) -> bool:
    return module == path or module.startswith(f"{path}.")


def _replaced(one: _Graph, found: range, other: _Graph, wanted: range) -> Iterator[NodeDifference]:
    ops = [one.proto.node[place].op_type for place in found]
    expected = [other.proto.node[place].op_type for place in wanted]
    if ops:
        node, module = one.proto.node[found[0]], one.modules.modules[found[0]]
        instead = f"in place of {', '.join(expected[:SHOWN])}" if expected else "which the fresh export has not"
        yield NodeDifference(node=node.name, op=node.op_type, module=module, what=f"{', '.join(ops[:SHOWN])} {instead}")
    else:
        node, module = other.proto.node[wanted[0]], other.modules.modules[wanted[0]]
        yield NodeDifference(
            node=node.name, op=node.op_type, module=module, what=f"{', '.join(expected[:SHOWN])} is missing"
        )


def _inside(one: _Graph, place: int, other: _Graph, expected: int, same: dict[int, int]) -> Iterator[NodeDifference]:
    node, wanted = one.proto.node[place], other.proto.node[expected]
    whats = [*_attributes(node, wanted), *_inputs(one, node, other, wanted, same)]
    if whats:
        yield NodeDifference(
            node=node.name, op=node.op_type, module=one.modules.modules[place], what="; ".join(whats[:2])
        )


def _attributes(node: onnx.NodeProto, wanted: onnx.NodeProto) -> Iterator[str]:
    if node.op_type == "Constant":
        return  # compared where it is read
    found = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    expected = {one.name: helper.get_attribute_value(one) for one in wanted.attribute}
    for name in sorted(found.keys() | expected.keys()):
        values = [side.get(name) for side in (found, expected)]
        if isinstance(values[0], onnx.TensorProto) and isinstance(values[1], onnx.TensorProto):
            if values[0].SerializeToString() != values[1].SerializeToString():
                yield f"attribute {name} differs"
        elif values[0] != values[1]:
            yield f"attribute {name} is {_word(values[0])}, the fresh export has {_word(values[1])}"


def _inputs(
    one: _Graph, node: onnx.NodeProto, other: _Graph, wanted: onnx.NodeProto, same: dict[int, int]
) -> Iterator[str]:
    if len(node.input) != len(wanted.input):
        yield f"it reads {len(node.input)} inputs, the fresh export {len(wanted.input)}"
        return
    for name, expected in zip(node.input, wanted.input, strict=True):
        constants = one.constants.get(name), other.constants.get(expected)
        if constants[0] is not None and constants[1] is not None:
            yield from _constants(name, constants[0], constants[1])
        elif (constants[0] is None) != (constants[1] is None):
            yield f"it reads {name}, the fresh export {expected}"
        else:
            makers = one.makers.get(name), other.makers.get(expected)
            if makers[0] is None or makers[1] is None:
                equal = name == expected and makers[0] is makers[1]
            elif makers[0][0] not in same:
                equal = True  # its maker is itself reported
            else:
                equal = (same[makers[0][0]], makers[0][1]) == makers[1]
            if not equal:
                yield f"it reads {name or 'nothing'}, the fresh export {expected or 'nothing'}"


def _constants(name: str, found: onnx.TensorProto, expected: onnx.TensorProto) -> Iterator[str]:
    if found.data_type == expected.data_type and _content(found) == _content(expected):
        return
    one, other = numpy_helper.to_array(found), numpy_helper.to_array(expected)
    if one.shape != other.shape or one.dtype != other.dtype:
        yield f"{name} is {one.dtype}{list(one.shape)}, the fresh export has {other.dtype}{list(other.shape)}"
    elif one.size <= SHOWN:
        yield f"{name} is {_values(one)}, the fresh export has {_values(other)}"
    else:
        yield f"{int((one != other).sum()):,} of {one.size:,} values of {name} differ"


def _content(tensor: onnx.TensorProto) -> str:
    array = numpy_helper.to_array(tensor)
    return hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()


def _values(array: NDArray[np.generic]) -> str:
    return ", ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in array.reshape(-1).tolist())


def _word(value: object) -> str:
    return "not set" if value is None else value.decode() if isinstance(value, bytes) else str(value)
