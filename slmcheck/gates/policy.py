"""How strict a session is, and where its verdicts are collected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from slmcheck.records import Exemption

if TYPE_CHECKING:
    from slmcheck.gates.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a comparison needs to be true."""

    gate: Literal["dev", "release"] = "dev"
    primary: bool = False
    """Under `release`, whether this claim must be proven."""
    inconclusive: Literal["pass", "fail"] = "pass"
    """What an inconclusive no-worse claim counts as where proof is not required."""
    alpha: float = 0.05
    """One-sided level of every comparison of two scores; never depends on how many there are."""
    margins: Mapping[str, float] = field(default_factory=dict)
    """Margins of `no_worse_than` by metric name, in place of the metrics' own."""
    seed_sds: Mapping[str, float] = field(default_factory=dict)
    """Standard deviations between seeds by metric name, in place of the metrics' declared ones."""
    accept_missing: bool = False
    """Whether a comparison with a baseline that does not exist yet counts as accepted."""
    reported: bool = True
    """Whether the judging ends in a report; if not, no message names one."""
    exemptions: tuple[Exemption, ...] = ()
    """What keeps false claims from blocking; such a comparison is true, so that the claims after it are judged too."""

    @property
    def requires_proof(self) -> bool:
        """Whether a claim must be proven to be true."""
        return self.gate == "release" and self.primary


@dataclass
class _Judging:
    policy: Policy
    verdicts: list[Verdict]
    exempted: dict[int, tuple[Verdict, Verdict]] = field(default_factory=dict)
    """Verdicts that do not block, by the identity of the verdict as it was judged, which is kept alive."""


_DEFAULT = Policy()
_active: ContextVar[_Judging | None] = ContextVar("slmcheck_judging", default=None)


@contextmanager
def judging(policy: Policy) -> Iterator[list[Verdict]]:
    """Judge every comparison of the block by `policy` and collect its verdict in the list that is given."""
    current = _Judging(policy=policy, verdicts=[])
    token = _active.set(current)
    try:
        yield current.verdicts
    finally:
        _active.reset(token)


def active_policy() -> Policy:
    """The policy of the innermost `judging` block; the dev policy outside of all."""
    current = _active.get()
    return current.policy if current is not None else _DEFAULT


def record(verdict: Verdict) -> Verdict:
    """Add a verdict to the innermost `judging` block, once; other stages record their own kinds of verdict by it.

    Gives the verdict, or one that is true where the policy exempts a false claim.
    """
    current = _active.get()
    if current is None:
        return verdict
    verdict = _exempted(current, verdict)
    if not any(known is verdict for known in current.verdicts):
        current.verdicts.append(verdict)
    return verdict


def _exempted(current: _Judging, verdict: Verdict) -> Verdict:
    judged = verdict.record
    if judged.holds or judged.exemption is not None:
        return verdict
    found = next((item for item in current.policy.exemptions if item.covers(judged.claim, judged.run_key)), None)
    if found is None:
        return verdict
    if id(verdict) not in current.exempted:
        current.exempted[id(verdict)] = (verdict, verdict.exempted_by(found))
    return current.exempted[id(verdict)][1]
