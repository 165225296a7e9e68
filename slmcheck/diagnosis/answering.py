"""Findings from the answers: what cannot be read, which labels are confused, where they are weak, how sure they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from slmcheck.diagnosis import thresholds
from slmcheck.diagnosis.calibration import best_temperature, confidences, reliability_of
from slmcheck.diagnosis.estimates import level, mean_of, paired, points
from slmcheck.diagnosis.learning import try_it
from slmcheck.diagnosis.observed import Observed
from slmcheck.diagnosis.weak_slices import weak_slices
from slmcheck.records import EvidenceNumber, Finding, Json

SHOWN_PAIRS = 5


def answer_findings(seen: Observed) -> Iterator[Finding]:
    """What the answers to the evaluation split show."""
    if seen.evaluation is None or not seen.evaluation.predictions:
        return
    yield from _unparsable(seen)
    yield from _confused(seen)
    yield from weak_slices(seen)
    yield from _overconfident(seen)
    yield from _sensitive(seen)


def _unparsable(seen: Observed) -> Iterator[Finding]:
    if seen.unparsable is None or seen.evaluation is None:
        return
    share = mean_of(seen.unparsable)
    if share.low <= thresholds.UNPARSABLE:
        return
    broken = [one for one, bad in zip(seen.evaluation.predictions, seen.unparsable, strict=True) if bad]
    yield Finding(
        cause="unparsable-answers",
        severity="problem",
        summary=f"{len(broken)} of {len(seen.unparsable)} answers cannot be read.",
        evidence=(
            f"Share {level(share, 'share')}.",
            *(f"{found.id}: {(found.prediction or '')[:90]!r}" for found in broken[:3]),
        ),
        numbers=(share.number("answers that cannot be read"),),
        remedy="Show the form in the template, learn the answer only (data.loss_on: answer), and see what the chat "
        "template adds.",
        next_experiment=f"slmcheck data check {seen.recipe.name}",
        examples=tuple(found.id for found in broken[:20]),
    )


def _confused(seen: Observed) -> Iterator[Finding]:
    if not seen.is_classification or seen.evaluation is None:
        return
    totals = Counter(found.reference for found in seen.evaluation.predictions)
    mistakes = Counter(
        (found.reference, found.prediction or "")
        for found in seen.evaluation.predictions
        if found.prediction not in found.references
    )
    pairs = [
        (count, reference, answer)
        for (reference, answer), count in mistakes.most_common()
        if count >= thresholds.CONFUSED_ROWS and count >= thresholds.CONFUSED_SHARE * totals[reference]
    ]
    if not pairs:
        return
    count, reference, answer = pairs[0]
    yield Finding(
        cause="confused-labels",
        severity="note",
        summary=f"'{reference}' is taken for '{answer}' in {count} of {totals[reference]} rows.",
        evidence=tuple(
            f"'{one}' for '{other}': {number} of {totals[one]}" for number, one, other in pairs[:SHOWN_PAIRS]
        ),
        numbers=tuple(
            mean_of(np.repeat([1.0, 0.0], [number, totals[one] - number])).number(f"{one} taken for {other}")
            for number, one, other in pairs[:SHOWN_PAIRS]
        ),
        remedy="Read rows of both labels: sharpen what tells them apart, or merge them.",
        next_experiment=f"slmcheck report latest --format html shows the rows of {seen.recipe.name}",
        examples=tuple(
            found.id
            for found in seen.evaluation.predictions
            if (found.reference, found.prediction) == (reference, answer)
        )[:20],
    )


def _overconfident(seen: Observed) -> Iterator[Finding]:
    if seen.evaluation is None or not seen.is_classification:
        return
    sure = confidences(seen.evaluation.predictions)
    if sure is None:
        return
    excess = paired(sure, seen.evaluation.values)
    if excess.low <= thresholds.OVERCONFIDENT:
        return
    bins = reliability_of(sure, seen.evaluation.values)
    error = sum(one.n * abs(one.confidence - one.accuracy) for one in bins) / len(sure)
    temperature = best_temperature(seen.evaluation.predictions)
    smoothing: dict[str, Json] = {} if seen.recipe.label_smoothing else {"label_smoothing": 0.1}
    yield Finding(
        cause="overconfident",
        severity="warning",
        summary=f"The model is {100 * excess.value:.0f} points surer of its answers than it is right.",
        evidence=(
            f"Mean probability of the chosen options {float(sure.mean()):.1%}, accuracy "
            f"{float(seen.evaluation.values.mean()):.1%}: {points(excess, 'share')}.",
            f"Expected calibration error {error:.3f}; a temperature of {temperature:.2g} would fit these rows best.",
        ),
        numbers=(
            excess.number("confidence over accuracy"),
            EvidenceNumber(name="expected calibration error", value=error, unit="share"),
            EvidenceNumber(name="temperature", value=temperature, unit="ratio"),
        ),
        remedy="Set label_smoothing to 0.1 or train less; a threshold on probabilities needs them divided by the "
        "temperature first.",
        recipe_patch=smoothing,
        next_experiment=try_it(seen),
    )


def _sensitive(seen: Observed) -> Iterator[Finding]:
    if seen.evaluation is None or not seen.changed_prompts:
        return
    known = {
        found.id: (found, value)
        for found, value in zip(seen.evaluation.predictions, seen.evaluation.values, strict=True)
    }
    hits, numbers, examples = [], list[EvidenceNumber](), dict[str, None]()
    for kind, answers in seen.changed_prompts.items():
        before = np.array([known[name][1] for name in answers.ids])
        loss = paired(before, answers.values)
        changed = mean_of(
            np.array([float(one.prediction != known[one.id][0].prediction) for one in answers.predictions])
        )
        numbers += [
            loss.number(f"{seen.metric} lost by {kind}", seen.unit),
            changed.number(f"answers changed by {kind}"),
        ]
        if loss.low > thresholds.SENSITIVE_LOSS or (
            seen.is_classification and changed.low > thresholds.SENSITIVE_ANSWERS
        ):
            hits.append((kind, loss, changed))
            examples |= dict.fromkeys(
                one.id for one in answers.predictions if one.prediction != known[one.id][0].prediction
            )
    if not hits:
        return
    kind, loss, changed = max(hits, key=lambda hit: hit[1].value)
    yield Finding(
        cause="prompt-sensitive",
        severity="warning",
        summary=f"Changing prompts by {kind}, which keeps their meaning, changes {changed.value:.0%} of the answers "
        f"and costs {points(loss, seen.unit, signed=False)}.",
        evidence=tuple(
            f"{name}: {level(other, 'share')} of the answers change, {seen.metric} falls by "
            f"{points(lost, seen.unit, signed=False)}"
            for name, lost, other in hits
        ),
        numbers=tuple(numbers),
        remedy="Add such variants to the training rows, or normalise prompts before asking.",
        next_experiment=f"slmcheck diagnose {seen.recipe.name} --learning-curve",
        examples=tuple(examples)[:20],
    )
