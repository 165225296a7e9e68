"""From the evidence of a location to the sentence that it allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slmcheck.parity.examining import Measured
from slmcheck.parity.feeds import BEHIND_A_PAST
from slmcheck.parity.ranking import Ranking
from slmcheck.parity.segments import INPUT
from slmcheck.parity.weights import Compared
from slmcheck.records import Location, LocationOutcome, ModuleError, NodeDifference

STALE = 0.5
"""Share of differing weights beyond which the graph is of another checkpoint."""
MANY_LAYERS = 3
"""Layers whose same place is guilty beyond which the cause is shared by all."""
SHOWN = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What a location looked at."""

    run: str
    precision: str
    weights: Compared
    errors: tuple[ModuleError, ...]
    measured: Measured
    compared_with_fresh: bool
    node: NodeDifference | None
    segment_nodes: str
    ranking: Ranking | None
    threshold: float
    rows: int
    tokens: int
    feeds: tuple[str, ...]
    mapped: int

    @property
    def guilty(self) -> tuple[ModuleError, ...]:
        """Places beyond rounding, in the order of the graph."""
        return tuple(one for one in self.errors if one.guilty)


def conclude(found: Evidence) -> Location:
    """The location that the evidence allows, and no more."""
    outcome, sentence, modules = _verdict(found)
    return Location(
        run=found.run,
        precision=found.precision,
        outcome=outcome,
        sentence=sentence,
        evidence=tuple(_lines(found)),
        modules=modules,
        weights=found.weights.differences,
        weights_compared=found.weights.compared,
        errors=found.errors,
        threshold=found.threshold,
        node=found.node,
        kl=found.ranking.kl if found.ranking is not None else None,
        exclusions=found.ranking.exclusions if found.ranking is not None else (),
        rows=found.rows,
        tokens=found.tokens,
    )


def meaning(place: str) -> str:
    """What is computed at a place, in words; empty where the module's name says it."""
    if not place.endswith(INPUT):
        return ""
    module = place.removesuffix(INPUT)
    around, _, name = module.rpartition(".")
    if name in ("o_proj", "dense", "out_proj", "c_proj") and "attn" in around:
        return f"{around} before {name}: mask, rotary positions, scale, softmax"
    if "norm" in name or name.startswith("ln_"):
        return f"what {name} reads: the residual connection before it"
    if name in ("down_proj", "c_proj", "fc2"):
        return f"{around} before {name}: the gate and its product"
    return f"what is computed in {around or 'the model'} before {name}"


def _verdict(found: Evidence) -> tuple[LocationOutcome, str, tuple[str, ...]]:
    differing, compared = found.weights.differences, found.weights.compared
    if differing and len(differing) > STALE * max(1, compared):
        return (
            "outside",
            f"{len(differing)} of {compared} weights differ: the graph was made from another checkpoint.",
            (),
        )
    guilty = found.guilty
    if differing:
        modules = tuple(dict.fromkeys(one.module for one in differing))
        others = [one.module for one in guilty if one.module not in modules]
        more = f" Beside it, {_listed(others)} computes otherwise." if others else ""
        first = differing[0]
        rest = f", and {len(differing) - 1} more" if len(differing) > 1 else ""
        return "weights", f"{first.parameter} is not the model's: {first.what}{rest}.{more}", modules
    if guilty:
        return _modules(found, guilty)
    if found.ranking is not None:
        return _ranked(found.ranking)
    return _nothing(found)


def _modules(found: Evidence, guilty: Sequence[ModuleError]) -> tuple[LocationOutcome, str, tuple[str, ...]]:
    names = tuple(dict.fromkeys(one.module for one in guilty))
    first = guilty[0]
    node = f" Its node {found.node.node} ({found.node.op}): {found.node.what}." if found.node is not None else ""
    if found.node is None and found.segment_nodes:
        node = f" Its nodes: {found.segment_nodes}."
    size = "no number" if first.isolated is None else f"{first.isolated:.1g} off"
    told = f" ({meaning(first.module)})" if meaning(first.module) else ""
    only = _only_behind_a_past(guilty)
    when = ", but only behind a past: positions or mask of decode steps are shifted" if only else ""
    if (read := _looked_up(first)) is not None:
        return (
            "outside",
            f"{first.module} departs although its weights are the model's: the {read} that it reads are "
            f"changed inside the graph{when}.{node}",
            names[:1],
        )
    layers = {one.layer for one in guilty if one.layer is not None}
    everywhere = {one.layer for one in found.errors if one.layer is not None}
    if len(layers) > 1 and (len(layers) >= MANY_LAYERS or layers == everywhere) and _one_place(guilty):
        return (
            "several",
            f"The same place is off in {len(layers)} layers, first {first.module}{told}{when}: "
            f"what all layers share is wrong, such as mask or positions.{node}",
            names,
        )
    if len(names) == 1:
        return "module", f"{first.module}{told} is {size} with PyTorch's own inputs{when}.{node}", names
    others = f"{len(names) - 1} more: {_listed(names[1:])}"
    if len(layers) == 1 and all(one.layer is not None for one in guilty):
        return "module", f"{first.module}{told} is {size} with PyTorch's own inputs{when}, with {others}.{node}", names
    return "several", f"{first.module}{told} is {size} with PyTorch's own inputs{when}, and {others}.{node}", names


def other_tokens(run: str, precision: str, example: str, found: Sequence[int], expected: Sequence[int]) -> Location:
    """The location of an export whose tokenizer reads an example otherwise: no module is at fault."""
    place = next(
        (index for index, (one, other) in enumerate(zip(found, expected, strict=False)) if one != other),
        min(len(found), len(expected)),
    )
    return Location(
        run=run,
        precision=precision,
        outcome="outside",
        sentence=(
            f"The tokenizer of the export reads {example} otherwise than the model's, from token {place + 1} on "
            f"({_ids(found, place)} in place of {_ids(expected, place)}): look at BOS, template and tokenizer.json."
        ),
        evidence=("tokens: they differ, so that no graph was run",),
    )


def _ids(ids: Sequence[int], place: int) -> str:
    return " ".join(map(str, ids[place : place + SHOWN])) or "nothing"


def _nothing(found: Evidence) -> tuple[LocationOutcome, str, tuple[str, ...]]:
    measured = found.measured
    if found.precision != "fp32":
        worst = max(found.errors, key=lambda one: one.isolated or 0.0, default=None)
        told = f" The largest isolated error is {worst.isolated:.2g}, of {worst.module}." if worst is not None else ""
        return (
            "spread",
            "No weight is more than a quantisation step off. What modules cost was not measured: another tool made "
            f"the graph.{told}",
            (),
        )
    if measured.logits > 10 * found.threshold:
        return (
            "spread",
            f"No module departs by itself, yet the logits are {measured.logits:.1g} off: rounding adds up over the "
            "layers, or the fault lies between mapped modules.",
            (),
        )
    if measured.optimised > 10 * found.threshold:
        return (
            "outside",
            f"The graph agrees, but onnxruntime's optimised form of it is {measured.optimised:.1g} off: "
            "the fault is in the runtime's optimisation.",
            (),
        )
    return (
        "agrees",
        f"Every weight and all {found.mapped} places agree with PyTorch on the same ids, mask, positions and past. "
        "If a gate failed, what differs is fed in: look at tokens (BOS, template), mask, positions and past of the "
        "runner.",
        (),
    )


def _ranked(ranking: Ranking) -> tuple[LocationOutcome, str, tuple[str, ...]]:
    best = next((one for one in ranking.exclusions if one.modules == ranking.standing_out), None)
    control = next((one for one in ranking.exclusions if one.is_control), None)
    if best is None or control is None:
        tried = [one for one in ranking.exclusions if not one.is_control]
        most = min(tried, key=lambda one: one.kl) if tried else None
        tail = (
            f" Of those tried, leaving out {_listed(most.modules)} helps most: {most.kl:.2g}."
            if most is not None and most.kl < ranking.kl
            else ""
        )
        return (
            "spread",
            f"No module stands out: the divergence of {ranking.kl:.2g} nats a token is spread over the model.{tail}",
            (),
        )
    return (
        "ranked",
        f"{_listed(best.modules)} {'costs' if len(best.modules) == 1 else 'cost'} most: "
        f"without quantising that, the divergence falls from {ranking.kl:.2g} to "
        f"{best.kl:.2g} nats a token (as many of the best modules: {control.kl:.2g}).",
        best.modules,
    )


def _lines(found: Evidence) -> list[str]:
    weights, lines = found.weights, []
    equal = weights.compared - len(weights.differences)
    how = "equal bit for bit" if found.precision == "fp32" else "equal, or within one quantisation step"
    lines.append(f"weights: {equal} of {weights.compared} parameters {how}")
    lines += [f"weights: {one.parameter}: {one.what}" for one in weights.differences[:SHOWN]]
    if weights.elsewhere:
        lines.append(f"weights: held in another form: {_listed(weights.elsewhere)}")
    guilty = found.guilty
    lines.append(
        f"modules: {len(guilty)} of {len(found.errors)} places depart with PyTorch's own activations fed in "
        f"({found.rows} rows; {', '.join(found.feeds)})"
    )
    if not found.errors:
        lines.append("modules: the graph does not say which module its nodes came from, so that none could be isolated")
    lines += [
        f"modules: {one.module} is off by {'no number' if one.isolated is None else f'{one.isolated:.2g}'} ({one.at})"
        for one in guilty[:SHOWN]
    ]
    if found.node is not None:
        lines.append(
            f"node: {found.node.node} ({found.node.op}) of {found.node.module or 'the model'}: {found.node.what}"
        )
    elif guilty and found.compared_with_fresh:
        lines.append("node: none differs from a fresh export: the exporter itself writes this graph")
    return lines


def _looked_up(first: ModuleError) -> str | None:
    """What the first place of the graph reads, where it computes nothing from activations."""
    name = first.module.rpartition(".")[2]
    if first.module.endswith(INPUT):
        return None
    if name in ("wpe", "position_embeddings", "rotary_emb"):
        return "positions"
    return "ids" if name in ("embed_tokens", "wte", "word_embeddings", "tok_embeddings") else None


def _only_behind_a_past(guilty: Sequence[ModuleError]) -> bool:
    return all(one.at.endswith(BEHIND_A_PAST) and "," not in one.at for one in guilty)


def _one_place(guilty: Sequence[ModuleError]) -> bool:
    """Whether the guilty places of the layers are the same place of each layer."""
    return len({_without_layer(one) for one in guilty if one.layer is not None}) == 1


def _without_layer(one: ModuleError) -> str:
    return one.module.replace(f".{one.layer}.", ".N.", 1)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
