"""A graph beside its model: mapped, cut and run, so that every module has an error of its own.

A leaf module: it imports torch, transformers, onnx and onnxruntime.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray
from transformers import PreTrainedModel

from slmcheck.parity.blocks import modules_of_tensors
from slmcheck.parity.feeds import feeds_of, small_feed
from slmcheck.parity.isolating import cut, exposed, inputs_of, open_session, references, relative_error, run_graph
from slmcheck.parity.recording import Recording, record
from slmcheck.parity.scopes import ModuleMap, module_map
from slmcheck.parity.segments import INPUT, Segment, segments
from slmcheck.parity.weights import Parameter
from slmcheck.records import ModuleError

LAYER = re.compile(r"(?:^|\.)(?:layers|h|layer|blocks)\.(\d+)(?:\.|$)")


Key = tuple[str, int]
"""A place: its name and which of the module's outputs it is."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What one graph shows on all feeds."""

    isolated: Mapping[Key, Mapping[str, float]]
    """For each place, the isolated error by the name of the feed."""
    cumulative: Mapping[Key, float]
    """For each place, the largest error of the graph as it runs."""
    logits: float
    """Error of the logits of the graph as it runs, relative to their norm."""
    optimised: float
    """The same with every optimisation of onnxruntime."""
    kl: float
    """Mean divergence from the model, in nats a token."""

    def worst(self, key: Key) -> float | None:
        """The largest isolated error of a place; NaN counts as larger than any number, None if it was not read."""
        found: float | None = None
        for error in self.isolated.get(key, {}).values():
            found = error if found is None else _largest(found, error)
        return found


class Examination:
    """A PyTorch model and the rows that it and a graph read."""

    def __init__(
        self, model: PreTrainedModel, sequences: Sequence[Sequence[int]], *, decodes: bool, pads_left: bool = True
    ) -> None:
        self.model, self.sequences = model, sequences
        self.paths = frozenset(path for path, _ in model.named_modules())
        self.feeds = feeds_of(model, sequences, decodes=decodes, pads_left=pads_left)

    @cached_property
    def recordings(self) -> list[Recording]:
        """PyTorch's activations, a feed each."""
        return [record(self.model, feed) for feed in self.feeds]

    @cached_property
    def parameters(self) -> list[Parameter]:
        """Weights and constants of the model, tied ones once."""
        names: dict[int, list[str]] = {}
        held = {}
        entries = [*self.model.named_parameters(remove_duplicate=False), *self.model.named_buffers()]
        for name, tensor in entries:
            if tensor.is_floating_point() and tensor.dim() > 0 and not name.rpartition(".")[2].startswith("original_"):
                names.setdefault(id(tensor), []).append(name)
                held[id(tensor)] = tensor
        return [
            Parameter(found[0], tuple(name.rpartition(".")[0] for name in found), held[key].detach().float().numpy())
            for key, found in names.items()
        ]

    def map(self, graph: onnx.GraphProto) -> ModuleMap:
        """The module of every node."""
        return module_map(graph, self.paths)

    def segments(self, model: onnx.ModelProto, modules: ModuleMap) -> list[Segment]:
        """Places of the model that are tensors of the graph."""
        config = self.model.config.get_text_config()
        sizes = {value for value in config.to_dict().values() if isinstance(value, int)}
        feed = small_feed(self.model, self.sequences, frozenset(sizes | {self._head_width()}))
        names = list(modules_of_tensors(model.graph, modules))
        values = run_graph(exposed(model, names), inputs_of(model, feed), names)
        return segments(model.graph, modules, record(self.model, feed), values)

    def measure(self, model: onnx.ModelProto, places: Sequence[Segment]) -> Measured:
        """Errors of a graph at its segments; see `Measured`."""
        names = list(dict.fromkeys(one.tensor for one in places))
        whole = open_session(exposed(model, names))
        output = whole.get_outputs()[0].name
        plain = open_session(model, optimised=True)
        isolated: dict[Key, dict[str, float]] = {}
        cumulative: dict[Key, float] = {one.key: 0.0 for one in places}
        parts, dtypes = None, {}
        logits, optimised, divergences = 0.0, 0.0, []
        for feed, recorded in zip(self.feeds, self.recordings, strict=True):
            inputs, attended = inputs_of(model, feed), feed.attended
            found = dict(zip([output, *names], whole.run([output, *names], inputs), strict=True))
            assert recorded.logits is not None
            logits = _largest(logits, relative_error(recorded.logits, found[output], attended))
            (fast,) = plain.run([output], inputs)
            optimised = _largest(optimised, relative_error(recorded.logits, fast, attended))
            divergences.append(_divergence(recorded.logits, found[output], attended))
            if parts is None:
                dtypes = {name: str(found[name].dtype) for name in names}
                parts = open_session(cut(model, places, dtypes))
            given = {**inputs, **references(places, recorded, dtypes)}
            alone = dict(zip(names, parts.run(names, given) if names else [], strict=True))
            for place in places:
                reference = place.reference(recorded)
                if reference is None:
                    continue
                whole_error = relative_error(reference, found[place.tensor], attended)
                cumulative[place.key] = _largest(cumulative[place.key], whole_error)
                isolated.setdefault(place.key, {})[feed.name] = relative_error(reference, alone[place.tensor], attended)
        kl = float(np.concatenate(divergences).mean())
        return Measured(isolated, cumulative, logits, optimised, kl)

    def divergence(self, model: onnx.ModelProto) -> float:
        """Mean divergence of a graph from the model, in nats a token."""
        session, divergences = open_session(model), []
        output = session.get_outputs()[0].name
        for feed, recorded in zip(self.feeds, self.recordings, strict=True):
            (found,) = session.run([output], inputs_of(model, feed))
            assert recorded.logits is not None
            divergences.append(_divergence(recorded.logits, found, feed.attended))
        return float(np.concatenate(divergences).mean())

    @property
    def tokens(self) -> int:
        """Tokens of the rows of the first feed."""
        return int(self.feeds[0].attended.sum())

    def _head_width(self) -> int:
        config = self.model.config.get_text_config()
        heads = int(getattr(config, "num_attention_heads", 1) or 1)
        return int(getattr(config, "hidden_size", 0)) // heads


def module_errors(
    places: Sequence[Segment], measured: Measured, expected: Measured | None, threshold: float, growth: float
) -> tuple[ModuleError, ...]:
    """The error of every place, in the order of the graph.

    Args:
        places: The mapped places.
        measured: Of the graph under test.
        expected: Of a fresh export at the same precision.
        threshold: Isolated error beyond which a place of an fp32 graph is guilty.
        growth: How many times the error of the fresh export is still rounding.
    """
    found = []
    for place in places:
        error = measured.worst(place.key)
        if error is None:
            continue
        fresh = expected.worst(place.key) if expected is not None else None
        limit = threshold if fresh is None else max(threshold, growth * fresh)
        beyond = [name for name, value in measured.isolated[place.key].items() if not value <= limit]
        match = LAYER.search(place.module)
        found.append(
            ModuleError(
                module=place.place,
                layer=int(match[1]) if match else None,
                isolated=_finite(error),
                cumulative=_finite(measured.cumulative[place.key]),
                expected=None if fresh is None else _finite(fresh),
                at=", ".join(beyond),
                guilty=bool(beyond),
            )
        )
    return tuple(found)


def within(place: str) -> str:
    """The module whose nodes compute a place: for what a module reads, the module around it."""
    return place.removesuffix(INPUT).rpartition(".")[0] if place.endswith(INPUT) else place


def _largest(one: float, other: float) -> float:
    return other if not other <= one else one


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _divergence(
    reference: NDArray[np.float32], found: NDArray[np.generic], attended: NDArray[np.bool_]
) -> NDArray[np.float64]:
    one, other = reference.astype(np.float64), found.astype(np.float64)
    if one.ndim == 3:
        one, other = one[attended], other[attended]
    log_p, log_q = (array - _log_sum(array) for array in (one, other))
    values: NDArray[np.float64] = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
    return values


def _log_sum(array: NDArray[np.float64]) -> NDArray[np.float64]:
    top = array.max(axis=-1, keepdims=True)
    values: NDArray[np.float64] = top + np.log(np.exp(array - top).sum(axis=-1, keepdims=True))
    return values
