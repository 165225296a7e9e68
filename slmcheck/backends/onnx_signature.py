"""What a graph takes and gives, compared with what a language model takes and gives before it runs first.

A leaf module: it imports onnxruntime.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from slmcheck.errors import CheckpointError

TYPES: Mapping[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
INTEGERS, FLOATS = ("int64", "int32"), ("float", "float16")
_PAST = re.compile(r"^(?:.*\.)?(?:past_)?key_values?\.(?:layers\.)?(\d+)\.(key|value)s?$|^past_(key|value)_(\d+)$")
_PRESENT = re.compile(
    r"^(?:.*\.)?(?:present|(?:(?:present|past)_)?key_values?)\.(?:layers\.)?(\d+)\.(key|value)s?$"
    r"|^present_(key|value)_(\d+)$"
)


@dataclass(frozen=True)
class Port:
    """One input or output."""

    name: str
    kind: str
    """Type of its elements: `int64`, `float` and so on."""
    shape: tuple[int | str | None, ...]
    """Numbers where they are fixed, names where they are free."""

    @property
    def numpy(self) -> type[np.generic]:
        """Its type in numpy."""
        return TYPES[f"tensor({self.kind})"]

    def __str__(self) -> str:
        return f"{self.kind} ({', '.join('any' if one is None else str(one) for one in self.shape)})"


@dataclass(frozen=True)
class PastPort:
    """One tensor of keys or values, as it goes in and as it comes out."""

    port: Port
    present: str
    heads: int
    width: int

    @property
    def name(self) -> str:
        """Of the input."""
        return self.port.name


@dataclass(frozen=True)
class Signature:
    """A graph as a language model."""

    ids: Port
    mask: Port | None
    positions: Port | None
    past: tuple[PastPort, ...]
    """Keys and values of every layer in turn; none where the graph reads whole texts only."""
    logits: str


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the configuration of a checkpoint says that its graph takes and gives; None says nothing."""

    vocabulary: int | None = None
    layers: int | None = None
    heads: int | None = None
    """Of keys and values."""
    width: int | None = None


def signature_of(session: ort.InferenceSession, expected: Expected | None = None) -> Signature:
    """How a session is asked as a causal language model.

    Args:
        session: The graph.
        expected: What its checkpoint says; sizes that are free in the graph are not compared.

    Raises:
        CheckpointError: Shows what was expected and what was found, name by name.
    """
    wanted = expected or Expected()
    inputs = {one.name: _port(one) for one in session.get_inputs()}
    outputs = {one.name: _port(one) for one in session.get_outputs()}
    problems: list[tuple[str, str, str]] = []

    def check(
        name: str, types: Sequence[str], shape: Sequence[int | str | None], *, optional: bool = False
    ) -> Port | None:
        found = inputs.get(name, outputs.get(name))
        if found is None:
            if not optional:
                problems.append((name, str(Port(name, types[0], tuple(shape))), "missing"))
            return None
        if found.kind not in types or not _fits(found.shape, shape):
            problems.append((name, str(Port(name, " or ".join(types), tuple(shape))), str(found)))
        return found

    ids = check("input_ids", INTEGERS, ("rows", "tokens"))
    mask = check("attention_mask", INTEGERS, ("rows", "all tokens"), optional=True)
    positions = check("position_ids", INTEGERS, ("rows", "tokens"), optional=True)
    logits = check("logits", FLOATS, ("rows", "tokens", wanted.vocabulary or "vocabulary"))
    past = _past(inputs, outputs, wanted, problems)
    for name in inputs.keys() - {"input_ids", "attention_mask", "position_ids", *(one.name for one in past)}:
        problems.append((name, "nothing", str(inputs[name])))
    if any(found == "missing" for _, _, found in problems):
        known = {"logits", *(port.name for port in _numbered(outputs, _PRESENT).values())}
        problems += [(name, "nothing", str(outputs[name])) for name in outputs.keys() - known]
    if problems:
        raise CheckpointError(_table(problems))
    assert ids is not None
    assert logits is not None
    return Signature(ids, mask, positions, tuple(past), logits.name)


def _past(
    inputs: Mapping[str, Port], outputs: Mapping[str, Port], wanted: Expected, problems: list[tuple[str, str, str]]
) -> list[PastPort]:
    ins, outs = _numbered(inputs, _PAST), _numbered(outputs, _PRESENT)
    if not ins:
        return []
    layers = wanted.layers or 1 + max(layer for layer, _ in ins)
    found = []
    for layer in range(layers):
        for kind in ("key", "value"):
            shape = ("rows", wanted.heads or "heads", "past", wanted.width or "width")
            port, present = ins.get((layer, kind)), outs.get((layer, kind))
            name = f"past_key_values.{layer}.{kind}"
            heads, width = _size(port, 1, wanted.heads), _size(port, 3, wanted.width)
            if port is None:
                problems.append((name, str(Port(name, "float", shape)), "missing"))
            elif port.kind not in FLOATS or not _fits(port.shape, shape):
                problems.append((port.name, str(Port(name, "float or float16", shape)), str(port)))
            elif heads is None or width is None:
                problems.append((port.name, "heads and width as numbers", str(port)))
            if present is None:
                problems.append((f"present.{layer}.{kind}", str(Port(name, "float", shape)), "missing"))
            elif port is not None and heads is not None and width is not None:
                found.append(PastPort(port, present.name, heads, width))
    for layer, kind in sorted(ins.keys() - {(layer, kind) for layer in range(layers) for kind in ("key", "value")}):
        problems.append((ins[layer, kind].name, f"{layers} layers", str(ins[layer, kind])))
    return found


def _size(port: Port | None, axis: int, expected: int | None) -> int | None:
    """A size of a tensor, as the graph says it, or as its checkpoint does where the graph leaves it open."""
    size = port.shape[axis] if port is not None and len(port.shape) > axis else None
    return size if isinstance(size, int) else expected


def _numbered(ports: Mapping[str, Port], pattern: re.Pattern[str]) -> dict[tuple[int, str], Port]:
    found = {}
    for name, port in ports.items():
        match = pattern.match(name)
        if match:
            groups = [one for one in match.groups() if one is not None]
            layer, kind = (groups[0], groups[1]) if groups[0].isdigit() else (groups[1], groups[0])
            found[int(layer), kind] = port
    return found


def _port(one: ort.NodeArg) -> Port:
    return Port(one.name, one.type.removeprefix("tensor(").removesuffix(")"), tuple(one.shape))


def _fits(found: Sequence[int | str | None], shape: Sequence[int | str | None]) -> bool:
    """Whether the ranks are equal, fixed sizes are as expected, and free ones are free."""
    if len(found) != len(shape):
        return False
    for one, wanted in zip(found, shape, strict=True):
        if isinstance(wanted, int) and isinstance(one, int) and one != wanted:
            return False
        if isinstance(one, int) and wanted in ("rows", "tokens", "all tokens", "past"):
            return False  # a fixed number of rows or tokens cannot read a split
    return True


def _table(problems: Sequence[tuple[str, str, str]]) -> str:
    shown = [("name", "expected", "found"), *problems[:8]]
    widths = [max(len(row[column]) for row in shown) for column in range(3)]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown
    ]
    more = f"\n  {len(problems) - 8} more" if len(problems) > 8 else ""
    return (
        f"The graph is not called as this language model is: {len(problems)} inputs or outputs differ.\n"
        + "\n".join(lines)
        + more
        + "\nExport the checkpoint again, or give the graph of this checkpoint."
    )
