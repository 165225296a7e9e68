"""Where an exported graph departs from its model: what a location says, and the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LocationOutcome = Literal["agrees", "weights", "module", "several", "outside", "ranked", "spread"]


@dataclass(frozen=True, kw_only=True)
class WeightDifference:
    """A weight of the graph that is not the model's."""

    parameter: str
    """Name of the parameter in PyTorch."""
    module: str
    """Its module in PyTorch."""
    initializer: str | None = None
    """Name in the graph; None where the graph has none."""
    differing: int = 0
    """Values that differ."""
    of: int = 0
    """Values of the parameter."""
    largest: float | None = None
    """Largest difference: in standard deviations of the parameter, of quantised weights in quantisation steps."""
    what: str = ""
    """How it differs, in words."""


@dataclass(frozen=True, kw_only=True)
class ModuleError:
    """How far one module of the graph is off, relative to the norm of what PyTorch gives there."""

    module: str
    """PyTorch path; with ` (input)` what is computed before it, outside of any mapped module."""
    layer: int | None = None
    """Number of the layer that it belongs to; None outside of the layers."""
    isolated: float | None = None
    """With PyTorch's own activations fed in; None where it is no number."""
    cumulative: float | None = None
    """In the graph as it runs, everything before included; None where it is no number."""
    expected: float | None = None
    """Isolated error of a fresh export; None where there was none to compare with."""
    at: str = ""
    """The inputs that showed an error beyond rounding; empty where none did."""
    guilty: bool = False
    """Whether the isolated error is beyond rounding, or beyond that of the fresh export."""


@dataclass(frozen=True, kw_only=True)
class NodeDifference:
    """A node that is not as a fresh export has it."""

    node: str
    """Name in the graph, or in the fresh export where the graph lacks it."""
    op: str
    """Operator."""
    module: str
    """PyTorch path of the module it was exported from; empty for the root."""
    what: str
    """How it differs, in words."""


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """What it does to the divergence to keep modules out of the quantisation."""

    modules: tuple[str, ...]
    """Modules that keep their weights as they are."""
    kl: float
    """Mean divergence from the PyTorch model then, in nats a token."""
    is_control: bool = False
    """Modules of low isolated error, excluded to see what any exclusion does."""


@dataclass(frozen=True, kw_only=True)
class Location:
    """Which weight, module and node of an exported graph depart from the PyTorch model."""

    run: str
    """Name of the run."""
    precision: str
    """Precision of the graph."""
    outcome: LocationOutcome
    """`agrees`: nothing departs; `weights`, `module`: a fault of that place; `several`: many places with one cause;
    `outside`: no module is wrong but what is read (ids, mask, positions) or the whole checkpoint;
    `ranked`: quantised, and excluding the named modules helps; `spread`: quantised, and none stands out."""
    sentence: str
    """What was found, in one sentence."""
    evidence: tuple[str, ...] = ()
    """What was looked at and what it said, one sentence each."""
    modules: tuple[str, ...] = ()
    """The modules named, the first to compute first."""
    weights: tuple[WeightDifference, ...] = ()
    """Weights that differ, in the order of the model."""
    weights_compared: int = 0
    """Parameters that were found in the graph."""
    errors: tuple[ModuleError, ...] = ()
    """Error of every mapped place, in the order of the graph."""
    threshold: float = 0.0
    """Isolated error beyond which a place is guilty, where no fresh export says more."""
    node: NodeDifference | None = None
    """First node that is not as a fresh export has it."""
    kl: float | None = None
    """Mean divergence of the graph on the rows that were looked at, in nats a token; of quantised graphs."""
    exclusions: tuple[Exclusion, ...] = ()
    """Measured exclusions, of quantised graphs."""
    rows: int = 0
    """Examples that were fed in."""
    tokens: int = 0
    """Their tokens."""
