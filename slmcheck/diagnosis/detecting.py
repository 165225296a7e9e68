"""Everything that was observed -> findings in order."""

from __future__ import annotations

from slmcheck.diagnosis.answering import answer_findings
from slmcheck.diagnosis.failing import failure_findings
from slmcheck.diagnosis.fit import fit_findings
from slmcheck.diagnosis.learning import learning_findings
from slmcheck.diagnosis.observed import Observed
from slmcheck.diagnosis.ordering import ordered
from slmcheck.diagnosis.plumbing import plumbing_findings
from slmcheck.diagnosis.resources import resource_findings
from slmcheck.diagnosis.rows import row_findings
from slmcheck.records import Finding

CACHE_VERSION = 3
"""Part of the key of a stored diagnosis: a detector or threshold that changes raises it."""


def diagnose(seen: Observed) -> tuple[Finding, ...]:
    """The findings about a run, causes first, each with its consequences; what was not observed is not judged."""
    measured = tuple(row_findings(seen))
    known = {(finding.cause, finding.examples) for finding in measured}
    early = [finding for finding in seen.early if (finding.cause, finding.examples) not in known]
    return ordered(
        (
            *early,
            *measured,
            *plumbing_findings(seen),
            *failure_findings(seen),
            *learning_findings(seen),
            *fit_findings(seen),
            *answer_findings(seen),
            *resource_findings(seen),
        )
    )
