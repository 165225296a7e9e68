"""Which PyTorch module each node of a graph came from.

Read from what torch's exporter notes at a node (`pkg.torch.onnx.name_scopes`), else from node names that are paths, as
TorchScript, optimum and onnxruntime-genai write them. A leaf module: it imports onnx.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx

SCOPES = "pkg.torch.onnx.name_scopes"
OTHER_NAMES = ((re.compile(r"\.attn(?=\.|$)"), ".self_attn"), (re.compile(r"\.mixer(?=\.|$)"), ".self_attn"))
"""How other exporters call a module, and how PyTorch does."""
UNKNOWN = "?"
"""Module of a node that tells nothing."""


@dataclass(frozen=True)
class ModuleMap:
    """The module of every node, in the order of the nodes."""

    modules: tuple[str, ...]
    """PyTorch paths; empty for the root, `UNKNOWN` where a node tells nothing."""

    @property
    def known(self) -> float:
        """Share of nodes below the root whose module is told."""
        return sum(module not in ("", UNKNOWN) for module in self.modules) / max(1, len(self.modules))

    def within(self, path: str) -> list[int]:
        """Places of the nodes of a module and of the modules below it."""
        below = f"{path}."
        return [
            place for place, module in enumerate(self.modules) if module == path or module.startswith(below) or not path
        ]


def module_map(graph: onnx.GraphProto, known: Iterable[str]) -> ModuleMap:
    """The module of every node of a graph.

    Args:
        graph: The graph.
        known: Paths of all modules of the PyTorch model (`named_modules`).
    """
    paths = frozenset(known)
    noted = [_noted(node) for node in graph.node]
    if not any(noted):
        noted = [_from_name(node) for node in graph.node]
    cut = _wrapper(noted, paths)
    return ModuleMap(tuple(_deepest(scopes, cut, paths) for scopes in noted))


def _noted(node: onnx.NodeProto) -> list[str]:
    """The scopes at a node, from the outermost to the innermost module."""
    text = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "")
    if not text:
        return []
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return []  # another exporter's form: the node tells nothing
    return [str(scope) for scope in found[:-1]] if isinstance(found, list) else []


def _from_name(node: onnx.NodeProto) -> list[str]:
    """`/model/layers.3/attn/o_proj/MatMul` -> model, model.layers.3, model.layers.3.attn, ..."""
    if not node.name.startswith("/"):
        return []
    parts = node.name.strip("/").split("/")[:-1]
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _wrapper(noted: Sequence[Sequence[str]], known: frozenset[str]) -> int:
    """How many leading names of a scope belong to what the exporter wrapped around the model."""
    hits: Counter[int] = Counter()
    for scopes in noted:
        for cut in range(3):
            hits[cut] += any(_path(scope, cut) in known and _path(scope, cut) for scope in scopes[-1:])
    return max(range(3), key=lambda cut: (hits[cut], -cut))


def _path(scope: str, cut: int) -> str:
    return ".".join(scope.split(".")[cut:])


def _deepest(scopes: Sequence[str], cut: int, known: frozenset[str]) -> str:
    if not scopes:
        return UNKNOWN
    for scope in reversed(scopes):
        path = _path(scope, cut)
        for pattern, name in (*OTHER_NAMES, (re.compile("$^"), "")):
            if path in known:
                return path
            path = pattern.sub(name, path)
    return ""
