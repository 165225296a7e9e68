"""Findings in the order of asking: the first group that explains the symptom is the cause, the rest follows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from slmcheck.diagnosis.causes import GROUPS, Group, group_of, rank_of
from slmcheck.records import Finding

_PLACES = {group: place for place, group in enumerate(GROUPS)}
_SYMPTOMS: frozenset[Group] = frozenset({"optimisation", "fit", "answers"})
"""Groups whose findings an earlier cause explains."""
_SEVERITIES = ("problem", "warning", "note")


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Causes first, their consequences under them, notes last.

    The first problem in the order of asking is the cause. What a later cause or group says of how well the run learned
    and answered follows from it and is listed under it; rows, resources and notes stand by themselves. A warning
    explains likewise where there is no problem.
    """
    found = sorted(_once(findings), key=lambda finding: rank_of(finding.cause))
    cause = next((finding for finding in found if finding.severity == "problem" and _explains(finding)), None)
    if cause is None:
        cause = next((finding for finding in found if finding.severity == "warning" and _is_root(finding)), None)
    if cause is not None:
        under = [finding for finding in found if finding is not cause and _follows(finding, cause)]
        found = [finding for finding in found if not any(finding is one for one in under)]
        found = [replace(cause, consequences=(*cause.consequences, *under)) if one is cause else one for one in found]
    return tuple(sorted(found, key=lambda finding: _SEVERITIES.index(finding.severity)))


def flattened(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Every finding in order, a consequence right behind its cause."""
    return tuple(
        one for finding in findings for one in (replace(finding, consequences=()), *flattened(finding.consequences))
    )


def _explains(finding: Finding) -> bool:
    """Whether a problem can be what others follow from."""
    return group_of(finding.cause) not in ("resources", "curve")


def _is_root(finding: Finding) -> bool:
    """Whether a warning says how the training went, so that what the answers show follows from it."""
    return group_of(finding.cause) in ("optimisation", "fit")


def _follows(finding: Finding, cause: Finding) -> bool:
    if finding.severity == "note" and finding.cause not in ("harmless-memorising", "confused-labels"):
        return False
    group = group_of(finding.cause)
    if group is None or group not in _SYMPTOMS:
        return False
    first = group_of(cause.cause)
    later = first is None or _PLACES[group] > _PLACES[first]
    return later or (group == first and rank_of(finding.cause) > rank_of(cause.cause))


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Each cause once a severity and sentence; a problem of several splits stays several findings."""
    kept: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        kept.setdefault((finding.cause, finding.summary), finding)
    return list(kept.values())
