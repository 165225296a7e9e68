"""How far an export may be off at each precision before it is no longer rounding.

Only the fp32 tolerances prove an export right: the smallest planted fault moves logits by 1.5e-4 of their spread, right
exports by 2.4e-5 at most. The others say what their precision costs on models of a few hundred thousand to a hundred
million parameters; a release decides by its own thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from slmcheck.errors import UnknownMetricError
from slmcheck.gates import ScoreSource
from slmcheck.parity.comparing import ParityRows
from slmcheck.parity.conditions import Condition
from slmcheck.parity.parting import Parting
from slmcheck.parity.scores import score

Subject = Literal["export", "merge", "conditions", "texts", "tokenizer", "generator"]
MERGE_FACTOR = 10.0
"""Merging an adapter in float32 moves logits by up to ten times what an fp32 export does."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Limits of one precision; None has no limit that holds for every model."""

    logit_max: float | None = None
    """In standard deviations of the reference's logits."""
    kl: float | None = None
    """In nats a token."""
    top1: float | None = None
    """Least share of tokens. Of no use where `logit_max` is within rounding: a flip then is a tie."""
    perplexity_change: float | None = None
    """Of the ratio from 1, in either direction where `logit_max` is limited, else upwards."""
    agreement: float | None = None
    """Least share of equal answers."""
    moved: float | None = None
    """Of a row's logits by the rows and the padding beside it, in standard deviations of the reference's logits.

    Rows of one length and padding by whole vectors change nothing; other padding adds up numbers in another order, and
    where activations are quantised a rounding may turn (5e-6 seen in fp32, .001 in fp16, .07 in int8 and int4; 1.2 in
    int8-dynamic, whose activations have one scale for the whole batch).
    """
    partings_are_rounding: bool = False
    """Whether greedy texts may part only where the two best tokens were closer than rounding."""

    @property
    def of_merge(self) -> Tolerance:
        """What merging an adapter may move, where these are the limits of an fp32 export."""
        return replace(
            self,
            logit_max=None if self.logit_max is None else MERGE_FACTOR * self.logit_max,
            kl=None if self.kl is None else MERGE_FACTOR**2 * self.kl,
            perplexity_change=None if self.perplexity_change is None else MERGE_FACTOR * self.perplexity_change,
            agreement=None,
            moved=None,
        )


TOLERANCES: Mapping[str, Tolerance] = {
    "fp32": Tolerance(
        logit_max=1e-4, kl=1e-9, perplexity_change=1e-5, agreement=1.0, moved=1e-4, partings_are_rounding=True
    ),
    "fp16": Tolerance(logit_max=0.1, kl=1e-4, top1=0.99, perplexity_change=1e-3, agreement=0.995, moved=0.01),
    "int8": Tolerance(kl=0.005, top1=0.95, perplexity_change=0.01, agreement=0.99, moved=0.25),
    "int8-dynamic": Tolerance(kl=0.05, top1=0.90, perplexity_change=0.03, agreement=0.98),
    "int4": Tolerance(agreement=0.98, moved=0.25),
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """A value held against the limit of its precision."""

    subject: Subject
    """`export`: the graph against the model it was made of; `merge`: that model against base model and adapter;
    `conditions`: a sample asked alone, padded and token by token; `texts`: where greedy texts part."""
    name: str
    """A score, or a condition with what was measured."""
    value: float
    limit: float
    at_least: bool = False
    """Whether the value must reach the limit; else it must not exceed it."""
    says: str = ""
    """What a failure means, and what to do."""

    @property
    def passed(self) -> bool:
        """Whether the value is within its limit; NaN is not."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def text(self) -> str:
        """In one line."""
        sign = ">=" if self.at_least else "<="
        return f"{self.subject} {self.name} {self.value:.4g}, expected {sign} {self.limit:.4g}"


def tolerance_of(precision: str) -> Tolerance:
    """The default tolerances of a precision.

    Raises:
        UnknownMetricError: If there are none.
    """
    if precision not in TOLERANCES:
        raise UnknownMetricError(
            f"There are no default tolerances for precision '{precision}'.\nThere are: {', '.join(TOLERANCES)}."
        )
    return TOLERANCES[precision]


def judge_scores(values: Mapping[str, float], tolerance: Tolerance, subject: Subject = "export") -> tuple[Check, ...]:
    """Scores held against their limits; a score without a limit is left out.

    Args:
        values: Scores by name.
        tolerance: Their limits.
        subject: What was compared.
    """
    return tuple(_of_scores(values, tolerance, subject))


def _of_scores(values: Mapping[str, float], tolerance: Tolerance, subject: Subject) -> Iterator[Check]:
    says = {
        "export": "name the module: slmcheck parity RUN --locate",
        "merge": "the merged model is another one: was it merged into the base model that it was trained on?",
    }.get(subject, "")
    for name, limit in (("logit_max", tolerance.logit_max), ("kl", tolerance.kl)):
        if limit is not None and name in values:
            yield Check(subject=subject, name=name, value=values[name], limit=limit, says=says)
    if tolerance.top1 is not None and "top1" in values:
        yield Check(subject=subject, name="top1", value=values["top1"], limit=tolerance.top1, at_least=True, says=says)
    if tolerance.perplexity_change is not None and "perplexity_ratio" in values:
        ratio = values["perplexity_ratio"]
        # In either direction where the export should be the same model: the distance of the logarithm from 0.
        worse = math.exp(abs(math.log(ratio))) if tolerance.logit_max is not None else ratio
        limit = 1.0 + tolerance.perplexity_change
        yield Check(subject=subject, name="perplexity_ratio", value=worse, limit=limit, says=says)
    if tolerance.agreement is not None and "agreement" in values:
        yield Check(
            subject=subject, name="agreement", value=values["agreement"], limit=tolerance.agreement, at_least=True,
            says=says,
        )  # fmt: skip


def judge_conditions(conditions: Sequence[Condition], tolerance: Tolerance) -> tuple[Check, ...]:
    """Every condition held against the limits of the precision."""
    found = []
    for one in conditions:
        if one.skipped is not None:
            continue
        for name, value, limit in (
            ("logit_max", one.logit_max, tolerance.logit_max),
            ("kl", one.kl, tolerance.kl),
            ("moved", one.moved, tolerance.moved),
        ):
            if value is not None and limit is not None:
                found.append(
                    Check(
                        subject="conditions",
                        name=f"{one.name} {name}",
                        value=value,
                        limit=limit,
                        says=_SAYS.get(one.name, "")
                        if name != "moved"
                        else "a row's answer depends on the rows beside it",
                    )
                )
    return tuple(found)


_SAYS = {
    "left-padded": "the graph ignores its mask, or counts padding as positions",
    "decode": "keys and values or positions are wrong after the first token",
    "longest": "positions are wrong in long texts: look at the rotary settings",
}


def judge_partings(partings: Sequence[Parting], tolerance: Tolerance) -> tuple[Check, ...]:
    """Texts that part although the reference was sure: a fault of what runs the graph."""
    if not tolerance.partings_are_rounding:
        return ()
    unexplained = sum(not parting.is_rounding for parting in partings)
    return (
        Check(
            subject="texts",
            name="partings beyond rounding",
            value=float(unexplained),
            limit=0.0,
            says="the reference's margin is above twice the logit difference there: not rounding, but a fault",
        ),
    )


@dataclass(frozen=True)
class Breach:
    """A score beyond its limit."""

    score: str
    value: float
    limit: float


def breaches(rows: ParityRows, precision: str, *, agreement: float | None = None) -> tuple[Breach, ...]:
    """The scores of a comparison that are beyond the default tolerances of a precision.

    Args:
        rows: The comparison.
        precision: Of the export.
        agreement: Share of equal final answers, where there are answers.

    Raises:
        UnknownMetricError: If there are no tolerances for the precision.
    """
    tolerance, source = tolerance_of(precision), ScoreSource(name=precision)
    names = ["logit_max", "kl", "top1", *(["perplexity_ratio"] if rows.column("scored").any() else [])]
    values = {name: float(score(name, rows, source)) for name in names}
    if agreement is not None:
        values["agreement"] = agreement
    return tuple(
        Breach(check.name, values[check.name], check.limit)
        for check in judge_scores(values, tolerance)
        if not check.passed
    )
