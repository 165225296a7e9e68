"""What all verdicts of a session say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slmcheck.gates.units import percent
from slmcheck.records import VerdictRecord
from slmcheck.statistics import holm

MANY_CHECKS = 10
STRICT_ALPHA = 0.01


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts of verdicts, and how many failed regression checks chance would explain."""

    states: Mapping[str, int]
    """Verdicts by state: pass, fail, inconclusive, accepted."""
    unproven: int
    """Levels and improvements that are true or false by their point estimate only."""
    regression_checks: int
    failed: int
    """Regression checks that failed."""
    expected: float
    """Regression checks expected to be significant by chance."""
    surviving: int
    """Failed regression checks that survive Holm's correction over all of them."""
    sentence: str
    """Empty without regression checks."""
    advice: str
    """A recommendation for sessions with many regression checks, else empty."""


def summarise(verdicts: Sequence[VerdictRecord], *, alpha: float = 0.05) -> Summary:
    """Summarise the verdicts of a session; changes no verdict and no exit status.

    Args:
        verdicts: Records of all comparisons, in any order.
        alpha: One-sided level of the session.
    """
    states = dict.fromkeys(("pass", "fail", "inconclusive", "accepted"), 0)
    for verdict in verdicts:
        states[verdict.state] += 1
    checks = [verdict for verdict in verdicts if verdict.kind == "no_worse" and verdict.p_value is not None]
    survives = holm([verdict.p_value if verdict.p_value is not None else 1.0 for verdict in checks], alpha)
    failed = [verdict.state == "fail" for verdict in checks]
    surviving = sum(1 for is_failed, holds in zip(failed, survives, strict=True) if is_failed and holds)
    return Summary(
        states=states,
        unproven=sum(1 for verdict in verdicts if verdict.state in ("pass", "fail") and not verdict.proven),
        regression_checks=len(checks),
        failed=sum(failed),
        expected=alpha * len(checks),
        surviving=surviving,
        sentence=_sentence(len(checks), sum(failed), surviving, alpha),
        advice=_advice(len(checks), alpha),
    )


def _sentence(checks: int, failed: int, surviving: int, alpha: float) -> str:
    if checks == 0:
        return ""
    noun = "regression check" if checks == 1 else "regression checks"
    expected = f"{alpha * checks:.2g} expected by chance at {percent(alpha)}"
    verb = "survives" if surviving == 1 else "survive"
    return f"{failed} of {checks} {noun} failed; {expected}; {surviving} {verb} Holm"


def _advice(checks: int, alpha: float) -> str:
    if checks <= MANY_CHECKS or alpha <= STRICT_ALPHA:
        return ""
    return f"{checks} regression checks at {percent(alpha)}: with more than {MANY_CHECKS}, slm_alpha = 0.01 is better"
