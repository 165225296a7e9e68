"""Findings about rows that need the answers: what leaked rows are worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from slmcheck.data.leak_checks import leak_findings
from slmcheck.diagnosis import thresholds
from slmcheck.diagnosis.estimates import difference, level, mean_of, points
from slmcheck.diagnosis.observed import Observed
from slmcheck.records import EvidenceNumber, Finding

LEAST_ROWS = 20


def row_findings(seen: Observed) -> Iterator[Finding]:
    """The leaks of the evaluation split, with the score on clean rows."""
    if seen.evaluation is None:
        return
    for finding in leak_findings(seen.splits, seen.splits.evaluation_split(seen.recipe)):
        yield _with_score(seen, finding)


def _with_score(seen: Observed, finding: Finding) -> Finding:
    answers = seen.evaluation
    assert answers is not None
    leaked = frozenset(finding.examples)
    clean = answers.of(frozenset(answers.ids) - leaked)
    dirty = answers.of(leaked)
    if not len(clean.values) or not len(dirty.values):
        return finding
    more = difference(dirty.values, clean.values)
    inflation = float(answers.values.mean() - clean.values.mean())
    whole, rest = mean_of(answers.values), mean_of(clean.values)
    proven = more.low > 0 and len(dirty.values) >= LEAST_ROWS
    is_problem = seen.is_share and inflation > thresholds.INFLATION and proven
    numbers = (
        *finding.numbers,
        EvidenceNumber(name="inflation of the score", value=inflation, unit=seen.unit),
        rest.number(f"{seen.metric} on clean rows", seen.unit),
    )
    sentence = (
        f"{seen.metric} {level(whole, seen.unit)} on all rows, {level(rest, seen.unit)} on the {len(clean.values)} "
        f"clean ones; difference of the leaked rows {points(more, seen.unit)}."
    )
    return replace(
        finding,
        severity="problem" if is_problem else finding.severity,
        evidence=(sentence, *finding.evidence),
        numbers=numbers,
    )
