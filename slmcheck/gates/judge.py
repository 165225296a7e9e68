"""A claim and its evidence become a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slmcheck.errors import ComparisonError
from slmcheck.gates import wording
from slmcheck.gates.changes import Comparison, compare
from slmcheck.gates.claims import ChangeClaim, LevelClaim
from slmcheck.gates.evidence import Evidence, Measurement
from slmcheck.gates.levels import CONFIDENCE, level_of
from slmcheck.gates.policy import Policy
from slmcheck.gates.verdict import Basis, Verdict
from slmcheck.records import ClaimKind, ExampleEvidence, VerdictRecord, VerdictState
from slmcheck.records.disclosure import shown
from slmcheck.statistics import at_least, decide_no_worse, to_scale

SHOWN_EXAMPLES = 3
_ROUNDING = 1e-9


def judge_level(claim: LevelClaim, policy: Policy) -> Verdict:
    """Whether a score is on the right side of a number."""
    new, confidence = claim.new, claim.confidence or CONFIDENCE
    level = level_of(new, confidence)
    satisfied = _reaches(new, new.value, claim.threshold, claim.strict)
    proven = new.metric.exact
    if level is not None:
        worst, best = (level.low, level.high) if new.metric.higher_is_better else (level.high, level.low)
        proven = _reaches(new, worst if satisfied else best, claim.threshold, claim.strict) == satisfied
    state: VerdictState = "pass" if satisfied else "fail"
    must_prove = policy.requires_proof or claim.confidence is not None
    holds = _holds(state, proven, must_prove, policy, new)
    lines = wording.level_lines(claim, level, confidence, satisfied=satisfied, proven=proven)
    base = _record_of(claim.text, new, policy)
    return Verdict(
        replace(
            base,
            kind="exact" if new.metric.exact else "level",
            state=state,
            proven=proven,
            holds=holds,
            low=level.low if level else None,
            high=level.high if level else None,
            confidence=confidence,
            target=claim.threshold,
            lines=(*lines, *_why_not(holds, state, proven, new), *base.notes, *_next(new, None, policy)),
            notes=(*base.notes, *(level.notes if level else ())),
            examples=() if holds else _worst_examples(new),
        ),
        basis=Basis(claim=claim, policy=policy),
    )


def judge_change(claim: ChangeClaim, policy: Policy) -> Verdict:
    """Whether a score is on the right side of another score.

    Raises:
        BaselineMismatchError: If a baseline has another signature, other examples or edited references.
        ComparisonError: If a score has no per-example evidence, or a target has no place on a logarithmic scale.
    """
    new, old = claim.new, claim.old
    if new.metric.exact:
        return _judge_exact(claim, policy)
    alpha = claim.alpha if claim.alpha is not None else policy.alpha
    comparison = compare(new, old, alpha=alpha, seed_sd=policy.seed_sds.get(new.metric.name))
    margin = _margin(claim, comparison.old_value)
    kind = _kind(claim, margin)
    state, proven = _decide(kind, comparison, margin, alpha, strict=claim.strict)
    holds = _holds(state, proven, policy.requires_proof or claim.must_prove, policy, new)
    told = wording.Told(
        claim=claim, comparison=comparison, kind=kind, state=state, proven=proven, margin=margin, alpha=alpha
    )
    level = level_of(new)
    low, high = _raw_bounds(comparison, new)
    base = _record_of(claim.text, new, policy)
    notes = (*base.notes, *(f"{old.source.name}: {note}" for note in old.source.notes), *comparison.notes)
    return Verdict(
        replace(
            base,
            kind=kind,
            state=state,
            proven=proven,
            holds=holds,
            low=level.low if level else None,
            high=level.high if level else None,
            target=comparison.old_value,
            target_name=old.label,
            margin=_raw_margin(claim, comparison.old_value),
            change=comparison.new_value - comparison.old_value,
            change_low=low,
            change_high=high,
            p_value=float(comparison.estimate.p_value),
            n=comparison.n,
            paired=comparison.paired,
            seed_sd=comparison.seeds.sd,
            lines=(
                *wording.change_lines(told),
                *_why_not(holds, state, proven, new),
                *notes,
                *_next(new, old, policy),
            ),
            notes=notes,
            examples=() if holds else _moved_examples(new, comparison),
        ),
        basis=Basis(claim=claim, policy=policy),
    )


def _judge_exact(claim: ChangeClaim, policy: Policy) -> Verdict:
    """Sizes and counts: compared by value, proven by nature."""
    new, old = claim.new, claim.old
    target = claim.factor * old.value + claim.offset
    if claim.equivalent_within is not None:
        satisfied = bool(at_least(claim.equivalent_within, abs(new.value - old.value)))
    else:
        satisfied = _reaches(new, new.value, target, claim.strict)
    state: VerdictState = "pass" if satisfied else "fail"
    base = _record_of(claim.text, new, policy)
    return Verdict(
        replace(
            base,
            kind="exact",
            state=state,
            proven=True,
            holds=_holds(state, True, False, policy, new),
            target=old.value,
            target_name=old.label,
            change=new.value - old.value,
            lines=(wording.exact_line(claim, target, satisfied=satisfied), *base.notes, *_next(new, old, policy)),
        ),
        basis=Basis(claim=claim, policy=policy),
    )


def _next(new: Measurement, old: Measurement | None, policy: Policy) -> tuple[str, ...]:
    return wording.next_steps(new, old, reported=policy.reported)


def _record_of(claim: str, new: Measurement, policy: Policy) -> VerdictRecord:
    """A record with everything that does not depend on the outcome."""
    selected = ("selected on these rows: the checkpoint was chosen by its loss on them",)
    return VerdictRecord(
        claim=claim,
        kind="level",
        state="fail",
        proven=False,
        holds=False,
        metric=new.metric.name,
        run=new.source.name,
        value=new.value,
        confidence=CONFIDENCE,
        n=new.n,
        seeds=new.source.seeds,
        unit=new.metric.unit,
        higher_is_better=new.metric.higher_is_better,
        split=new.source.split,
        slice=new.source.slice,
        notes=(*(selected if new.source.selected_on_validation else ()), *new.source.notes),
        primary=policy.primary,
        run_key=new.source.run_key,
    )


def _reaches(new: Measurement, value: float, threshold: float, strict: bool) -> bool:
    sign = new.metric.sign
    return sign * value > sign * threshold if strict else sign * value >= sign * threshold


def _margin(claim: ChangeClaim, old_value: float) -> float:
    """How much worse is allowed, on the scale of changes; negative where an improvement is asked for."""
    if claim.equivalent_within is not None:
        return claim.equivalent_within
    metric = claim.new.metric
    target = claim.factor * old_value + claim.offset
    if metric.change_scale == "log" and (target <= 0.0 or old_value <= 0.0):
        raise ComparisonError(
            f"{claim.text}: {metric.name} is compared by ratios, and {min(target, old_value):g} has none.\n"
            f"{claim.old.label} is {old_value:g}; the target is {target:g}.\n"
            "Write the margin as a factor: `* 1.02` allows 2 %."
        )
    before, after = (to_scale(np.asarray(value), metric.change_scale) for value in (old_value, target))
    return float(metric.sign * (before - after))


def _kind(claim: ChangeClaim, margin: float) -> ClaimKind:
    if claim.equivalent_within is not None:
        return "equivalent"
    if abs(margin) <= _ROUNDING * max(1.0, abs(claim.old.value)):
        return "better" if claim.strict else "no_worse"
    return "no_worse" if margin > 0.0 else "better_by"


def _decide(
    kind: ClaimKind, comparison: Comparison, margin: float, alpha: float, *, strict: bool
) -> tuple[VerdictState, bool]:
    """State of a claim, and whether the examples prove it."""
    estimate = comparison.estimate
    change, low, high = float(estimate.change), float(estimate.low), float(estimate.high)
    if kind == "no_worse":
        decision = str(decide_no_worse(estimate, max(margin, 0.0), alpha))
        return (
            ("pass", True) if decision == "pass" else ("fail", True) if decision == "fail" else ("inconclusive", False)
        )
    if kind == "equivalent":
        if at_least(margin, abs(change)):
            return "pass", bool(at_least(low, -margin) and at_least(margin, high))
        return "fail", high < -margin or low > margin
    asked = max(-margin, 0.0)
    if kind == "better" or strict:
        satisfied = change > asked and not (asked > 0.0 and math.isclose(change, asked, rel_tol=_ROUNDING))
        return ("pass", low > asked) if satisfied else ("fail", high < asked)
    return ("pass", bool(at_least(low, asked))) if at_least(change, asked) else ("fail", high < asked)


def _holds(state: VerdictState, proven: bool, must_prove: bool, policy: Policy, new: Measurement) -> bool:
    if policy.requires_proof and new.source.selected_on_validation:
        return False
    if must_prove:
        return state == "pass" and proven
    if state == "inconclusive":
        return policy.inconclusive == "pass"
    return state == "pass"


def _why_not(holds: bool, state: VerdictState, proven: bool, new: Measurement) -> tuple[str, ...]:
    """Why a claim that its state alone would not break is false."""
    if holds or state == "fail":
        return ()
    if state == "pass" and proven and new.source.selected_on_validation:
        return (
            "not released: scores of the rows that selected the checkpoint prove nothing; give the recipe data.test",
        )
    if state == "pass":
        return ("this claim must be proven, and it is not",)
    return ("this claim must be proven, and the examples cannot tell",)


def _raw_bounds(comparison: Comparison, new: Measurement) -> tuple[float, float]:
    """Bounds of the change in the unit of the metric: new minus old."""
    bounds = [new.metric.sign * float(bound) for bound in (comparison.estimate.low, comparison.estimate.high)]
    if new.metric.change_scale == "log":
        bounds = [comparison.old_value * math.expm1(bound) for bound in bounds]
    return min(bounds), max(bounds)


def _raw_margin(claim: ChangeClaim, old_value: float) -> float:
    """The margin in the unit of the metric; negative where an improvement is asked for."""
    if claim.equivalent_within is None:
        target = claim.factor * old_value + claim.offset
        return claim.new.metric.sign * (old_value - target)
    if claim.new.metric.change_scale == "log":
        return old_value * math.expm1(claim.equivalent_within)
    return claim.equivalent_within


def _worst_examples(new: Measurement) -> tuple[ExampleEvidence, ...]:
    if new.evidence is None or new.evidence.show is None:
        return ()
    metric = new.parts_metric or new.metric
    pulls = metric.sign * new.evidence.linearised("identity").influence
    order = np.lexsort((np.array(new.evidence.example_ids), pulls))
    return _shown(new, [new.evidence.example_ids[index] for index in order[:SHOWN_EXAMPLES]], None)


def _moved_examples(new: Measurement, comparison: Comparison) -> tuple[ExampleEvidence, ...]:
    if new.evidence is None or new.evidence.show is None:
        return ()
    if not comparison.worse:
        return _worst_examples(new)
    return _shown(new, comparison.worse[:SHOWN_EXAMPLES], comparison.old_evidence)


def _shown(new: Measurement, ids: Sequence[str], old: Evidence | None) -> tuple[ExampleEvidence, ...]:
    evidence = new.evidence
    assert evidence is not None
    assert evidence.show is not None
    found = []
    for example_id in ids:
        example = evidence.show(example_id)
        if example.old_answer is None and old is not None:
            example = replace(example, old_answer=_answer_of(old, example_id))
        found.append(example)
    return shown(found, new.source.disclosure)


def _answer_of(evidence: Evidence, example_id: str) -> str | None:
    if evidence.answers is not None:
        return evidence.answers[evidence.position[example_id]]
    return evidence.show(example_id).answer if evidence.show is not None else None
