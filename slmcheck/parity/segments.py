"""Which tensor of a graph is what module's input or output.

A module's output is the last tensor of its shape that leaves the module's nodes; the input of a module without children
is the first tensor of its shape that enters them. A leaf module: it imports onnx.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from slmcheck.parity.recording import Array, Recording
from slmcheck.parity.scopes import ModuleMap

INPUT = " (input)"


@dataclass(frozen=True)
class Segment:
    """A tensor of the graph and the place in PyTorch that it equals."""

    tensor: str
    place: str
    """Module path, with ` (input)` for what a module reads."""
    module: str
    number: int = 0
    """Which of the module's outputs."""
    readers: frozenset[int] = frozenset()
    """Nodes that read something else than PyTorch there; empty where the place is the tensor's own."""

    @property
    def key(self) -> tuple[str, int]:
        """The same in every graph of the model."""
        return self.place, self.number

    @property
    def misread(self) -> bool:
        """Whether the graph reads a tensor there that is another place in PyTorch."""
        return bool(self.readers)

    def reference(self, recorded: Recording) -> Array | None:
        """PyTorch's own tensor there; None where this call did not make it."""
        if self.place.endswith(INPUT):
            return recorded.inputs.get(self.module)
        outputs = recorded.outputs.get(self.module, [])
        return outputs[self.number] if self.number < len(outputs) else None


@dataclass(frozen=True)
class Wiring:
    """Who makes and who reads each tensor, by place of the node."""

    makers: Mapping[str, int]
    readers: Mapping[str, tuple[int, ...]]
    outputs: frozenset[str]
    weights: frozenset[str]

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> Wiring:
        """Of a graph."""
        readers: defaultdict[str, list[int]] = defaultdict(list)
        for place, node in enumerate(graph.node):
            for name in dict.fromkeys(node.input):
                readers[name].append(place)
        return cls(
            makers={name: place for place, node in enumerate(graph.node) for name in node.output if name},
            readers={name: tuple(places) for name, places in readers.items()},
            outputs=frozenset(one.name for one in graph.output),
            weights=frozenset(one.name for one in graph.initializer),
        )


def segments(
    graph: onnx.GraphProto, modules: ModuleMap, recorded: Recording, values: Mapping[str, NDArray[np.generic]]
) -> list[Segment]:
    """Every place of the model that is a tensor of the graph, in the order of the graph.

    Args:
        graph: The graph.
        modules: Where its nodes come from.
        recorded: PyTorch's activations for a small call.
        values: Tensors of the graph for the same call, of every node output that could be read.
    """
    wiring = Wiring.of(graph)
    found: dict[str, Segment] = {}
    references: dict[str, Array] = {}
    for path in sorted(recorded.outputs, key=lambda one: -one.count(".")):  # the innermost module names a tensor
        for number, (name, reference) in enumerate(_leaving(path, graph, wiring, modules, recorded, values)):
            if name not in found:
                found[name], references[name] = Segment(name, path, path, number), reference
    misread = []
    for path, reference in recorded.inputs.items():
        entering = _entering(path, graph, wiring, modules, reference, values)
        if not entering or any(_equal(references[name], reference) for name in entering if name in references):
            continue
        unknown = [name for name in entering if name not in references]
        if unknown:
            found[unknown[0]] = Segment(unknown[0], path + INPUT, path)
            references[unknown[0]] = reference
        else:
            own = frozenset(modules.within(path)) & frozenset(wiring.readers[entering[0]])
            misread.append(Segment(entering[0], path + INPUT, path, readers=own))
    return sorted([*found.values(), *misread], key=lambda one: (wiring.makers[one.tensor], one.misread))


def _leaving(
    path: str,
    graph: onnx.GraphProto,
    wiring: Wiring,
    modules: ModuleMap,
    recorded: Recording,
    values: Mapping[str, NDArray[np.generic]],
) -> list[tuple[str, Array]]:
    own = set(modules.within(path))
    wanted = recorded.outputs[path]
    names = [
        name
        for place in sorted(own)
        for name in graph.node[place].output
        if name in values and (name in wiring.outputs or any(one not in own for one in wiring.readers.get(name, ())))
    ]
    shapes = {array.shape for array in wanted}
    fitting = [name for name in names if values[name].shape in shapes and values[name].dtype.kind == "f"]
    if len(fitting) < len(wanted) or len(wanted) == 0:
        return []
    chosen = fitting[-len(wanted) :]
    pairs = list(zip(chosen, wanted, strict=True))
    return pairs if all(values[name].shape == array.shape for name, array in pairs) else []


def _entering(
    path: str,
    graph: onnx.GraphProto,
    wiring: Wiring,
    modules: ModuleMap,
    reference: Array,
    values: Mapping[str, NDArray[np.generic]],
) -> list[str]:
    """Tensors of the shape that a module reads and that others made, in the order of its nodes."""
    own = set(modules.within(path))
    names = [name for place in sorted(own) for name in graph.node[place].input]
    return [
        name
        for name in dict.fromkeys(names)
        if wiring.makers.get(name, -1) not in own
        and name in wiring.makers
        and name not in wiring.weights
        and name in values
        and values[name].shape == reference.shape
    ]


def _equal(one: Array, other: Array) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-5, atol=1e-6, equal_nan=True))
