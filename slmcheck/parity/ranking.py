"""Which modules cost a quantised graph most, measured by keeping them out of the quantisation.

A leaf module: it imports onnx at its top and is itself imported only when a graph is located.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from slmcheck.records import Exclusion, ModuleError

SINGLES = 4
"""Modules that are tried alone, the worst first."""
TOGETHER = 3
"""Modules that are tried together, and as many of the best as a control."""
STANDS_OUT = 0.3
"""Least share of the divergence that excluding modules must take away."""
NEARLY = 0.9
"""Share of the best gain with which fewer modules are preferred."""
BEYOND_CONTROL = 2.0
"""And how many times what excluding the best modules takes away."""

Convert = Callable[[Sequence[str]], onnx.ModelProto]
"""Nodes of the fp32 graph that keep their weights -> the graph at the precision."""


@dataclass(frozen=True)
class Ranking:
    """Measured exclusions and what they say."""

    kl: float
    exclusions: tuple[Exclusion, ...]
    standing_out: tuple[str, ...]
    """The modules whose exclusion helps; empty where none stands out."""


def rank(
    errors: Sequence[ModuleError],
    nodes: Mapping[str, Sequence[str]],
    convert: Convert,
    divergence: Callable[[onnx.ModelProto], float],
) -> Ranking:
    """Try the modules of the largest isolated errors, alone and together, against those of the smallest.

    Args:
        errors: Isolated errors of the quantised graph.
        nodes: Names of the quantised nodes of each module in the fp32 graph.
        convert: Makes the graph with nodes left out of the quantisation.
        divergence: Mean divergence of a graph from the PyTorch model, in nats a token.
    """
    ranked = sorted(
        (one for one in errors if one.module in nodes and one.isolated is not None),
        key=lambda one: -(one.isolated or 0.0),
    )
    whole = divergence(convert(()))

    def excluded(modules: Sequence[ModuleError], *, is_control: bool = False) -> Exclusion:
        names = tuple(one.module for one in modules)
        kept = [node for name in names for node in nodes[name]]
        return Exclusion(modules=names, kl=divergence(convert(kept)), is_control=is_control)

    together = min(TOGETHER, len(ranked) // 2)
    if together == 0:
        return Ranking(whole, (), ())
    tried = [excluded([one]) for one in ranked[:SINGLES]]
    tried.append(excluded(ranked[:together]))
    control = excluded(ranked[-together:], is_control=True)
    most = whole - min(one.kl for one in tried)
    enough = [one for one in tried if whole - one.kl >= NEARLY * most]
    best = min(enough, key=lambda one: (len(one.modules), one.kl))
    gain, by_control = whole - best.kl, max(0.0, whole - control.kl)
    helps = gain >= STANDS_OUT * whole and gain >= BEYOND_CONTROL * by_control and whole > 0
    return Ranking(whole, (*tried, control), best.modules if helps else ())
