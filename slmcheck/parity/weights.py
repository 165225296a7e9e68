"""Whether a graph holds the model's weights: bit for bit, or within one quantisation step. A leaf module: imports onnx.

What the graph holds elsewhere than PyTorch does (a joint projection taken apart, 1 + weight of a norm) is left to the
comparison with a fresh export.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from slmcheck.parity.blocks import QuantisedWeight
from slmcheck.parity.scopes import ModuleMap
from slmcheck.parity.segments import Wiring
from slmcheck.records import WeightDifference

Array = NDArray[np.float32]
ONE = np.float32(1.0)
LARGEST_STEPS = 1.0
"""Of a quantised weight: a symmetric scale of 4 bits is one step short at one end of its range."""


@dataclass(frozen=True, eq=False)
class Parameter:
    """A weight of the PyTorch model, once, with the modules that use it."""

    name: str
    modules: tuple[str, ...]
    """Paths of every module that holds it; several where weights are tied."""
    value: Array


@dataclass(frozen=True)
class Compared:
    """What the comparison of weights says."""

    differences: tuple[WeightDifference, ...]
    compared: int
    """Parameters that the graph holds as PyTorch does, equal or not."""
    elsewhere: tuple[str, ...]
    """Parameters that the graph holds in another form."""


def compare_weights(
    graph: onnx.GraphProto,
    modules: ModuleMap,
    parameters: Sequence[Parameter],
    quantised: Mapping[str, QuantisedWeight],
    *,
    half: bool = False,
) -> Compared:
    """Compare every parameter with what the graph holds for it.

    Args:
        graph: The graph.
        modules: Where its nodes come from.
        parameters: Of the PyTorch model.
        quantised: Quantised weights by the module that reads them.
        half: Whether the graph holds weights rounded to 16 bits.
    """
    store = _Weights(graph, modules)
    differences, elsewhere, compared = [], [], 0
    for parameter in parameters:
        wanted = parameter.value
        if half:
            wanted = wanted.astype(np.float16).astype(np.float32)
        packed = next((quantised[path] for path in parameter.modules if path in quantised), None)
        if packed is not None and wanted.ndim == 2:
            compared += 1
            differences += _beyond_steps(parameter, packed)
            continue
        equal = store.equal(wanted)
        if not equal and wanted.ndim == 1 and (equal := store.equal(wanted + ONE)):
            wanted = wanted + ONE  # a norm of Gemma multiplies by 1 + weight, which the exporter computes beforehand
        wrong = [(path, near) for path in parameter.modules if (near := store.misread(path, wanted, equal)) is not None]
        if not equal and not wrong and (named := store.named(parameter.name, wanted)) is not None:
            wrong = [(parameter.modules[0], named)]
        if wrong:
            own = next((name for name in equal if store.is_read(name)), None)
            differences += [_difference(parameter.name, path, wanted, *near, own=own) for path, near in wrong]
        if equal or wrong or store.holds_part(wanted):
            compared += 1
        else:
            elsewhere.append(parameter.name)
    return Compared(tuple(differences), compared, tuple(elsewhere))


def describe_change(wanted: Array, found: Array) -> str:
    """How one array became another, in words."""
    of, differing = wanted.size, int((wanted != found).sum())
    for word, rounded in (("float16", _half(wanted)), ("bfloat16", _brain(wanted))):
        if np.array_equal(found, rounded):
            return f"its values are rounded to {word}"
    if np.array_equal(found, np.ones_like(found)):
        return "all its values are 1"
    if not np.isfinite(found).all():
        return f"{int((~np.isfinite(found)).sum()):,} of {of:,} values are no numbers"
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (found / wanted)[wanted != 0]
    if differing > of / 2 and np.allclose(ratios, np.median(ratios), rtol=1e-5, atol=0):
        return f"its values are multiplied by {np.median(ratios):.4g}"
    for axis, word in enumerate(("rows", "columns")[: wanted.ndim]):
        if _same_slices(wanted, found, axis):
            return f"its {word if wanted.ndim > 1 else 'values'} stand in another order"
    limit = float(np.abs(found).max())
    if limit < float(np.abs(wanted).max()) and np.array_equal(found, np.clip(wanted, -limit, limit)):
        return f"its values are clipped at {limit:.3g}: {differing:,} of {of:,} differ"
    return f"{differing:,} of {of:,} values differ"


class _Weights:
    """The initializers of a graph, found by content and by the module that reads them."""

    def __init__(self, graph: onnx.GraphProto, modules: ModuleMap) -> None:
        self._arrays: dict[str, Array] = {}
        for one in graph.initializer:
            array = numpy_helper.to_array(one)
            if array.dtype.kind == "f":
                self._arrays[one.name] = array.astype(np.float32)
        self._by_content: dict[str, list[str]] = {}
        for name, array in self._arrays.items():
            self._by_content.setdefault(_hash(array), []).append(name)
        wiring = Wiring.of(graph)
        self._readers = wiring.readers
        self._read_by: dict[str, set[str]] = {}
        for name in self._arrays:
            readers = {modules.modules[place] for place in wiring.readers.get(name, ())}
            for place in wiring.readers.get(name, ()):  # a tied head reads a transposition of the embedding
                node = graph.node[place]
                if node.op_type in ("Transpose", "Cast", "Identity"):
                    readers |= {modules.modules[one] for one in wiring.readers.get(node.output[0], ())}
            for module in readers:
                self._read_by.setdefault(module, set()).add(name)

    def equal(self, wanted: Array) -> list[str]:
        """The initializers of that content, as it is or transposed."""
        return [name for form in _forms(wanted) for name in self._by_content.get(_hash(form), ())]

    def misread(self, path: str, wanted: Array, equal: Sequence[str]) -> tuple[str, Array] | None:
        """What a module reads in place of a parameter; None where it reads that, or nothing of that size."""
        fitting = [name for name in sorted(self._read_by.get(path, ())) if self._fits(name, wanted)]
        return None if not fitting or set(fitting) & set(equal) else self._nearest(fitting, wanted)

    def named(self, parameter: str, wanted: Array) -> tuple[str, Array] | None:
        """The initializer of a parameter's name."""
        names = [name for name in self._arrays if name == parameter or name.endswith("." + parameter)]
        return self._nearest([name for name in names if self._fits(name, wanted)], wanted)

    def _nearest(self, names: Sequence[str], wanted: Array) -> tuple[str, Array] | None:
        aligned = [(name, form) for name in names for form in self._aligned(name, wanted)]
        distances = [float(np.nan_to_num(np.abs(form - wanted), nan=np.inf).mean()) for _, form in aligned]
        return aligned[int(np.argmin(distances))] if aligned else None

    def holds_part(self, wanted: Array) -> bool:
        """Whether an initializer is a part of the parameter, or the parameter a part of one: joint projections."""
        contents = [form.tobytes() for form in _forms(wanted)]
        for array in self._arrays.values():
            if array.size < 8 or array.size == wanted.size:
                continue
            for form in _forms(array):
                held = form.tobytes()
                small = len(held) < len(contents[0])
                if any((held in content) if small else (content in held) for content in contents):
                    return True
        return False

    def is_read(self, name: str) -> bool:
        """Whether any node reads an initializer."""
        return bool(self._readers.get(name))

    def _fits(self, name: str, wanted: Array) -> bool:
        return sorted(self._arrays[name].shape) == sorted(wanted.shape)

    def _aligned(self, name: str, wanted: Array) -> list[Array]:
        array = self._arrays[name]
        forms = [array] if array.shape == wanted.shape else []
        if array.ndim == 2 and array.T.shape == wanted.shape:
            forms.append(np.ascontiguousarray(array.T))
        return forms


def _difference(
    parameter: str, module: str, wanted: Array, name: str, found: Array, *, own: str | None
) -> WeightDifference:
    if wanted.ndim == 1 and np.abs(found - ONE - wanted).mean() < np.abs(found - wanted).mean():
        wanted = wanted + ONE
    spread = float(wanted.std()) or float(np.abs(wanted).max()) or 1.0
    largest = float(np.abs(found.astype(np.float64) - wanted).max()) / spread
    what = describe_change(wanted, found)
    if own is not None:
        what += f"; {module} reads {name}, while the parameter stands in {own}"
    return WeightDifference(
        parameter=parameter,
        module=module,
        initializer=name,
        differing=int((wanted != found).sum()),
        of=wanted.size,
        largest=largest if np.isfinite(largest) else None,
        what=what,
    )


def _beyond_steps(parameter: Parameter, packed: QuantisedWeight) -> list[WeightDifference]:
    steps = np.abs(packed.value - parameter.value) / packed.step
    bound = LARGEST_STEPS + 1e-3  # the scales are rounded to float32
    outside = ~(steps <= bound)
    if not outside.any():
        return []
    largest = float(np.nan_to_num(steps, nan=np.inf).max())
    return [
        WeightDifference(
            parameter=parameter.name,
            module=parameter.name.rpartition(".")[0],
            initializer=packed.initializer,
            differing=int(outside.sum()),
            of=parameter.value.size,
            largest=largest if np.isfinite(largest) else None,
            what=f"{int(outside.sum()):,} of {parameter.value.size:,} values are more than one quantisation step off",
        )
    ]


def _forms(array: Array) -> list[Array]:
    return [array, np.ascontiguousarray(array.T)] if array.ndim == 2 else [array]


def _hash(array: Array) -> str:
    return hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


def _half(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(np.float32)


def _brain(array: Array) -> Array:
    bits = np.ascontiguousarray(array).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return rounded.astype(np.uint32).view(np.float32)


def _same_slices(wanted: Array, found: Array, axis: int) -> bool:
    """Whether two arrays hold the same slices along an axis in another order."""
    digest: Callable[[Array], list[str]] = lambda array: sorted(  # noqa: E731
        _hash(np.take(array, place, axis=axis)) for place in range(array.shape[axis])
    )
    return digest(wanted) == digest(found)
