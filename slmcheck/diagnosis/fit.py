"""Findings about what was learned: too much of the training rows, nothing of the task, less than a trivial answer."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from slmcheck.diagnosis import thresholds
from slmcheck.diagnosis.curves import Turn, turn_of
from slmcheck.diagnosis.estimates import Estimate, difference, level, mean_of, paired, points
from slmcheck.diagnosis.learning import gap_text, majority_share, try_it
from slmcheck.diagnosis.observed import Answers, Observed
from slmcheck.records import EvidenceNumber, Finding, Json

IGNORES_INPUT = ("majority", "copy")
"""Trivial answers that know nothing of the training rows but their most frequent answer."""
SURFACE = ("tf-idf", "nearest")
"""Trivial answers that learn from the words of the training rows."""


def fit_findings(seen: Observed) -> Iterator[Finding]:
    """What gap, curve and comparison say."""
    yield from _rendered_differently(seen)
    nothing = labels_without_information(seen)
    if nothing is not None:
        yield nothing
    yield from _gap(seen)
    yield from _recited(seen)
    yield from _worse_than_base(seen)
    yield from _trivial(seen)


def _online(seen: Observed) -> Estimate | None:
    """What the model got right of training rows when it first read them."""
    if seen.rows is None or not len(seen.rows.online_correct):
        return None
    return mean_of(seen.rows.online_correct)


def _rendered_differently(seen: Observed) -> Iterator[Finding]:
    online = _online(seen)
    if online is None or seen.evaluation is None or not seen.is_classification:
        return  # only there is a choice among options at least as easy as writing the answer token by token
    found = mean_of(seen.evaluation.values)
    if found.high >= online.low - thresholds.ONLINE_BELOW:
        return
    train, evaluated = next(iter(seen.splits.train)), next(iter(seen.evaluation.predictions))
    yield Finding(
        cause="evaluation-rendered-differently",
        severity="problem",
        summary="The model answers evaluation rows worse than it answered training rows before it had learned them: "
        "the two are not asked in the same way.",
        evidence=(
            f"{seen.metric} {level(found, seen.unit)} on evaluation rows; {level(online, 'share')} on training rows "
            "when they were first read.",
            f"training prompt: {_start(train.prompt)!r}",
            f"evaluation prompt: {_start(evaluated.prompt)!r}",
            _first_difference(train.prompt, evaluated.prompt),
        ),
        numbers=(found.number(f"{seen.metric} of evaluation rows"), online.number("first-epoch accuracy")),
        remedy="Give both splits the same template, fields and source; see what few_shot and the chat template add.",
        next_experiment=f"slmcheck data check {seen.recipe.name}",
        examples=tuple(
            one.id for one, value in zip(seen.evaluation.predictions, seen.evaluation.values, strict=True) if not value
        )[:20],
    )


def _start(text: str, width: int = 90) -> str:
    return text if len(text) <= width else text[:width] + "..."


def _first_difference(one: str, other: str) -> str:
    first, second = one.split(), other.split()
    for place, (left, right) in enumerate(zip(first, second, strict=False)):
        if left != right:
            return f"They first differ in word {place + 1}: {left!r} in training, {right!r} in evaluation."
    return f"They have {len(first)} and {len(second)} words and do not differ before the shorter one ends."


def labels_without_information(seen: Observed) -> Finding | None:
    """Labels that neither the model nor TF-IDF can tell from the text."""
    if not seen.is_classification or seen.evaluation is None or seen.train is None:
        return None
    _, majority = majority_share(seen.evaluation)
    _, train_majority = majority_share(seen.train)
    found, learned, online = mean_of(seen.evaluation.values), mean_of(seen.train.values), _online(seen)
    surface = seen.trivial.get("tf-idf")
    if found.low > majority or (surface is not None and mean_of(surface.values).low > majority):
        return None
    memorised = learned.value > train_majority + thresholds.MEMORISED
    guessed = online is not None and online.value <= train_majority + thresholds.ONLINE_BELOW
    if not guessed or (not memorised and surface is None):
        return None
    evidence = [
        f"{seen.metric} of evaluation rows {level(found, 'share')}; the most frequent label has {majority:.1%}.",
        f"{seen.metric} of training rows {level(learned, 'share')}"
        + ("; they were learned by heart." if memorised else "."),
    ]
    numbers = [found.number(f"{seen.metric} of evaluation rows"), learned.number(f"{seen.metric} of training rows")]
    if online is not None:
        evidence.append(f"When training rows were first read, {level(online, 'share')} of them were right.")
        numbers.append(online.number("first-epoch accuracy"))
    if surface is not None:
        evidence.append(f"TF-IDF with logistic regression: {level(mean_of(surface.values), 'share')}.")
        numbers.append(mean_of(surface.values).number("accuracy of tf-idf"))
    return Finding(
        cause="labels-without-information",
        severity="problem",
        summary="The labels carry no information about the text: columns swapped, labels shuffled, or the field that "
        "decides is missing from the template.",
        evidence=tuple(evidence),
        numbers=tuple(numbers),
        remedy=f"Read ten rows: does '{seen.recipe.data.answer}' follow from the template's fields?",
        next_experiment=f"slmcheck data check {seen.recipe.name}",
        examples=tuple(item.id for item in seen.splits.train[:10]),
    )


def _gap(seen: Observed) -> Iterator[Finding]:
    if seen.train is None or seen.evaluation is None:
        return
    gap = difference(seen.train.values, seen.evaluation.values)
    turn = turn_of(seen.history, None if seen.rows is None else seen.rows.validation)
    least = thresholds.GAP if seen.is_share else thresholds.GAP_NATS
    if gap.one_sided_low <= least:
        return
    evidence = [gap_text(seen, seen.train, seen.evaluation)]
    numbers = [gap.number(f"gap in {seen.metric}", seen.unit)]
    if turn is not None:
        evidence.append(_turn_text(turn))
        numbers += [EvidenceNumber(name="rise of the validation loss", value=turn.rise, unit="share")]
        numbers += [EvidenceNumber(name="rise in standard errors", value=turn.z)] if turn.z is not None else []
        numbers.append(EvidenceNumber(name="divergence step", value=turn.step, unit="count"))
    proven = turn is not None and turn.z is not None and turn.z > thresholds.RISE_Z
    trended = turn is not None and turn.trend_p < thresholds.TREND_P
    if turn is not None and turn.rise > thresholds.RISE_OVERFIT and proven:
        yield Finding(
            cause="overfitting",
            severity="problem",
            summary=f"The model overfits from step {turn.step} on: validation loss rises by {turn.rise:.0%}, and "
            f"training rows score {points(gap, seen.unit, signed=False)} better.",
            evidence=tuple(evidence),
            numbers=tuple(numbers),
            remedy="Fewer epochs, early stopping, a smaller adapter with dropout, weight decay; more rows help most.",
            recipe_patch=_calmed(seen, turn),
            next_experiment=try_it(seen),
        )
    elif turn is not None and turn.rise > thresholds.RISE_MILD and (proven or trended):
        yield Finding(
            cause="overfitting-or-noisy-labels",
            severity="warning",
            summary=f"The validation loss rises by {turn.rise:.0%} after step {turn.step}: mild overfitting, or labels "
            "that contradict one another; curves cannot tell.",
            evidence=tuple(evidence),
            numbers=tuple(numbers),
            remedy="Stop early, and read the review list of labels (label-noise): wrong labels there decide it.",
            recipe_patch={"early_stopping_patience": 2} if seen.recipe.early_stopping_patience is None else {},
            next_experiment=f"slmcheck data check {seen.recipe.name}",
        )
    else:
        yield Finding(
            cause="harmless-memorising",
            severity="note",
            summary=f"Training rows score {points(gap, seen.unit, signed=False)} better, and the "
            "validation loss does not rise: harmless memorising.",
            evidence=tuple(evidence),
            numbers=tuple(numbers),
            remedy="More rows help, fewer epochs do not; dropout 0.1 may.",
            recipe_patch={"options.lora_dropout": 0.1} if "lora_dropout" in seen.recipe.options else {},
            next_experiment=f"slmcheck diagnose {seen.recipe.name} --learning-curve",
        )


def _turn_text(turn: Turn) -> str:
    z = f", {turn.z:.1f} standard errors" if turn.z is not None else ""
    return (
        f"Validation loss {turn.lowest:.3g} at step {turn.step}, {turn.last:.3g} at the end: {turn.rise:+.1%}{z}; "
        f"p of no rising trend {turn.trend_p:.3f}."
    )


def _calmed(seen: Observed, turn: Turn) -> dict[str, Json]:
    """The chapter's recipe against overfitting."""
    patch: dict[str, Json] = {"weight_decay": 0.01, "early_stopping_patience": 2}
    rank = seen.recipe.options.get("r")
    if isinstance(rank, int) and rank > 1:
        patch |= {"options.r": rank // 2, "options.lora_alpha": rank // 2, "options.lora_dropout": 0.1}
    epochs = next((point.epoch for point in seen.history if point.step == turn.step and point.epoch), None)
    if epochs and seen.recipe.max_steps is None:
        patch["num_train_epochs"] = float(max(1, math.ceil(epochs)))
    elif seen.recipe.max_steps is not None:
        patch["max_steps"] = turn.step
    return patch


def _recited(seen: Observed) -> Iterator[Finding]:
    if seen.continued is None or not len(seen.continued.train) or not len(seen.continued.held_out):
        return
    more = difference(seen.continued.train, seen.continued.held_out)
    if more.low <= thresholds.VERBATIM:
        return
    yield Finding(
        cause="memorised-rows",
        severity="warning",
        summary=f"The model recites {np.mean(seen.continued.train):.0%} of the training rows asked for word for word, "
        f"and {np.mean(seen.continued.held_out):.0%} of held-out rows.",
        evidence=(f"Difference {points(more, 'share')} over {len(seen.continued.train)} training rows.",),
        numbers=(more.number("verbatim continuations, training rows over held-out rows"),),
        remedy="Fewer epochs, no repeated rows; do not publish a model that recites private rows.",
        next_experiment=try_it(seen),
        examples=seen.continued.examples,
    )


def _worse_than_base(seen: Observed) -> Iterator[Finding]:
    if seen.base is None or seen.evaluation is None:
        return
    change = paired(seen.evaluation.values, seen.base.values)
    if change.high >= 0:
        return
    yield Finding(
        cause="worse-than-base",
        severity="problem",
        summary=f"Fine-tuning made it worse than the base model: {seen.metric} {points(change, seen.unit)}.",
        evidence=(
            f"Base model {level(mean_of(seen.base.values), seen.unit)}, this run "
            f"{level(mean_of(seen.evaluation.values), seen.unit)}, same {len(seen.base.values)} rows.",
        ),
        numbers=(change.number(f"change in {seen.metric} against the base model", seen.unit),),
        remedy=f"Lower learning_rate to {seen.recipe.learning_rate / 5:.2g}, or train less; see that the rows teach "
        "what is tested.",
        recipe_patch={"learning_rate": float(f"{seen.recipe.learning_rate / 5:.2g}")},
        next_experiment=try_it(seen),
        examples=_lost(seen.evaluation, seen.base),
    )


def _lost(now: Answers, before: Answers) -> tuple[str, ...]:
    order = np.argsort(now.values - before.values, kind="stable")[:20]
    return tuple(now.predictions[place].id for place in order if now.values[place] < before.values[place])


def _trivial(seen: Observed) -> Iterator[Finding]:
    if seen.evaluation is None or not seen.is_share:
        return
    for kind, severity in ((IGNORES_INPUT, "problem"), (SURFACE, "warning")):
        known = {name: seen.trivial[name] for name in kind if name in seen.trivial}
        if not known:
            continue
        best = max(known, key=lambda name: float(known[name].values.mean()))
        change = paired(seen.evaluation.values, known[best].values)
        if change.low > 0 or (kind is SURFACE and change.value > thresholds.INFLATION):
            continue
        yield Finding(
            cause="no-better-than-trivial",
            severity="problem" if severity == "problem" else "warning",
            summary=f"{seen.metric} {float(seen.evaluation.values.mean()):.1%} is not proven better than the trivial "
            f"answer '{best}' with {float(known[best].values.mean()):.1%}.",
            evidence=(f"Difference {points(change, seen.unit)}, same {len(seen.evaluation.values)} rows.",),
            numbers=(
                change.number(f"{seen.metric} against {best}"),
                *(mean_of(one.values).number(f"{seen.metric} of {name}") for name, one in seen.trivial.items()),
            ),
            remedy="Nothing was learned that this answer does not know: see the findings above it."
            if kind is IGNORES_INPUT
            else "Use that answer, which costs nothing, or a larger base model and more rows.",
            next_experiment=f"slmcheck diagnose {seen.recipe.name} --learning-curve",
        )
        return
