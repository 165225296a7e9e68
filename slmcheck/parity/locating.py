"""Where an exported graph departs from its model: weights first, then modules one by one, then the node.

A leaf module: it imports torch, transformers, onnx and onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from transformers import PreTrainedModel

from slmcheck.errors import CheckpointError
from slmcheck.parity.blocks import modules_of_tensors, quantised_weights
from slmcheck.parity.concluding import Evidence, conclude
from slmcheck.parity.examining import Examination, Measured, module_errors, within
from slmcheck.parity.nodes import first_difference, nodes_of
from slmcheck.parity.ranking import Convert, rank
from slmcheck.parity.scopes import ModuleMap
from slmcheck.parity.segments import Segment
from slmcheck.parity.weights import Compared, compare_weights
from slmcheck.records import Location, NodeDifference

CACHE_VERSION = 1
"""Changes when the same graph would be located otherwise."""
THRESHOLD = 1e-5
"""Isolated error of a right fp32 segment is 3e-7 at most, of the smallest planted fault 1.9e-4 (docs/explanation)."""
GROWTH = 1.5
"""Times the isolated error of a fresh export at the same precision."""
RIGHT_PADDED = ("GroupQueryAttention",)
"""Operators that count their mask from the left."""
PRODUCTS = ("MatMul", "Gemm")


@dataclass(frozen=True, eq=False)
class Suspect:
    """The graph under test and what it is compared with."""

    run: str
    precision: str
    graph: Path
    fresh: Callable[[], Path | None] = lambda: None
    """Writes an fp32 graph of the same checkpoint with the exporter, once; None where it cannot."""
    convert: Convert | None = None
    """Makes the graph of the precision from the fresh one; None for fp32 and for graphs that other tools made."""


def locate(suspect: Suspect, model: PreTrainedModel, sequences: Sequence[Sequence[int]]) -> Location:
    """Name the weight, the module and the node that depart, or say honestly that none does.

    Args:
        suspect: The graph.
        model: The checkpoint in PyTorch, merged, in float32 on the CPU.
        sequences: Token ids of rows of the evaluation split.

    Raises:
        CheckpointError: If the graph cannot be run.
        PredictionError: If it reads inputs that are not known.
    """
    graph = load_graph(suspect.graph)
    exact = suspect.precision == "fp32"
    look = Examination(
        model,
        sequences,
        decodes=any(one.name.startswith("past_key_values.") for one in graph.graph.input),
        pads_left=not any(node.op_type in RIGHT_PADDED for node in graph.graph.node),
    )
    fresh = _fresh(suspect) if suspect.convert is not None else None
    # a quantised graph loses its scopes but keeps the names of its tensors, so that the fp32 graph maps both
    mapped = graph if fresh is None else fresh
    modules = look.map(mapped.graph)
    owner = modules_of_tensors(mapped.graph, modules)
    own_modules = modules if mapped is graph else _inherited(graph.graph, owner)
    packed = quantised_weights(graph.graph, owner)
    compared = compare_weights(graph.graph, own_modules, look.parameters, packed, half=suspect.precision == "fp16")
    made = {name for node in graph.graph.node for name in node.output}
    places = [one for one in look.segments(mapped, modules) if one.tensor in made]
    measured = look.measure(graph, places)
    clean = not compared.differences and _is_clean(measured)
    if exact and not clean:
        fresh = _fresh(suspect)
    if exact and fresh is not None and compared.differences:
        compared = _without_forms_of_the_exporter(compared, look, fresh)
    same = suspect.convert(()) if suspect.convert is not None else fresh
    expected = None
    if same is not None and (not exact or not clean):
        expected = _expected(look, same, look.segments(same, look.map(same.graph)) if exact else places)
    # without a fresh export of the same precision nothing says how far a quantised module may be off
    threshold = THRESHOLD if exact or expected is not None else float("inf")
    errors = module_errors(places, measured, expected, threshold, GROWTH)
    guilty = tuple(one.module for one in errors if one.guilty)
    named = tuple(dict.fromkeys(one.module for one in compared.differences))
    node = None
    if guilty or named or (exact and not clean):
        node = _node(graph, own_modules, same, modules if exact else None, owner, look, [*map(within, guilty), *named])
    ranking = None
    if suspect.convert is not None and fresh is not None and not guilty and not named:
        ranking = rank(errors, _products(fresh.graph, look.map(fresh.graph)), suspect.convert, look.divergence)
    return conclude(
        Evidence(
            run=suspect.run,
            precision=suspect.precision,
            weights=compared,
            errors=errors,
            measured=measured,
            compared_with_fresh=expected is not None,
            node=node,
            segment_nodes=nodes_of(graph.graph, own_modules, within(guilty[0])) if guilty else "",
            ranking=ranking,
            threshold=THRESHOLD,
            rows=len(look.feeds[0].ids),
            tokens=look.tokens,
            feeds=tuple(feed.name for feed in look.feeds),
            mapped=len(places),
        )
    )


def load_graph(path: Path) -> onnx.ModelProto:
    """A graph with its weights.

    Raises:
        CheckpointError: If the file or its weights are damaged or missing.
    """
    try:
        model: onnx.ModelProto = onnx.load(path)
    except Exception as error:  # protobuf and onnx raise bare exceptions of many kinds
        raise CheckpointError(
            f"{path.name} cannot be read: {str(error).strip().splitlines()[0] if str(error).strip() else 'damaged'}\n"
            f"In {path.parent}.\nCopy the whole folder again, or export again; in the store: slmcheck cache verify"
        ) from error
    if not model.graph.node:
        raise CheckpointError(f"{path.name} holds no graph.\nIn {path.parent}.\nExport the run again.")
    return model


def _fresh(suspect: Suspect) -> onnx.ModelProto | None:
    path = suspect.fresh()
    return None if path is None else load_graph(path)


def _without_forms_of_the_exporter(compared: Compared, look: Examination, fresh: onnx.ModelProto) -> Compared:
    """Weights that a fresh export changes in the same way are another form of them, and no fault of this graph."""
    own = compare_weights(fresh.graph, look.map(fresh.graph), look.parameters, {})
    forms = {(one.parameter, one.module, one.what, one.largest) for one in own.differences}
    kept = tuple(one for one in compared.differences if (one.parameter, one.module, one.what, one.largest) not in forms)
    dropped = tuple(one.parameter for one in compared.differences if one not in kept)
    return replace(compared, differences=kept, elsewhere=(*compared.elsewhere, *dropped))


def _is_clean(measured: Measured) -> bool:
    errors = (error for found in measured.isolated.values() for error in found.values())
    return measured.logits <= THRESHOLD and all(error <= THRESHOLD for error in errors)


def _expected(look: Examination, same: onnx.ModelProto, places: Sequence[Segment]) -> Measured:
    """What a fresh export at the same precision shows at the places that it has."""
    made = {name for node in same.graph.node for name in node.output}
    return look.measure(same, [one for one in places if one.tensor in made])


def _inherited(graph: onnx.GraphProto, owner: dict[str, str]) -> ModuleMap:
    """Modules of a converted graph by the tensors that it kept; what it added belongs to the tensor behind it."""
    found: list[str] = []
    for node in graph.node:
        own = next((owner[name] for name in node.output if name in owner), None)
        if own is None:
            bases = (name.removesuffix("_output_quantized").partition("_cast")[0] for name in node.output)
            own = next((owner[name] for name in bases if name in owner), None)
        found.append(own if own is not None else "")
    return ModuleMap(tuple(found))


def _node(
    graph: onnx.ModelProto,
    modules: ModuleMap,
    same: onnx.ModelProto | None,
    same_modules: ModuleMap | None,
    owner: dict[str, str],
    look: Examination,
    places: Sequence[str],
) -> NodeDifference | None:
    if same is None:
        return None
    fresh_modules = look.map(same.graph) if same_modules is not None else _inherited(same.graph, owner)
    return first_difference(graph.graph, modules, same.graph, fresh_modules, within=places)


def _products(graph: onnx.GraphProto, modules: ModuleMap) -> dict[str, list[str]]:
    """Names of the matrix products with weights, by module."""
    weights = {one.name for one in graph.initializer}
    found: dict[str, list[str]] = {}
    for place, node in enumerate(graph.node):
        if node.op_type in PRODUCTS and any(name in weights for name in node.input):
            found.setdefault(modules.modules[place], []).append(node.name)
    return found
