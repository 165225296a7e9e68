"""Findings from the history: did the updates go wrong, and had the training rows been learned when they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from slmcheck.diagnosis import thresholds
from slmcheck.diagnosis.curves import Descent, descent_of, gradient_ratio, is_flat
from slmcheck.diagnosis.estimates import difference, level, mean_of, points
from slmcheck.diagnosis.observed import Answers, Observed
from slmcheck.records import EvidenceNumber, Finding, Json

SMALL_BATCH = 8


def learning_findings(seen: Observed) -> Iterator[Finding]:
    """What the losses and gradients say, and what the training rows say of how far it came."""
    descent = descent_of(seen.history)
    collapse = _collapse(seen)
    exploded = _exploded(seen, descent, harmed=collapse is not None or is_learned(seen) is False)
    if exploded is not None:
        yield exploded
    if collapse is not None:
        yield collapse
    elif descent is not None and exploded is None:
        yield from _not_learned(seen, descent)


def _exploded(seen: Observed, descent: Descent | None, *, harmed: bool) -> Finding | None:
    """A loss that rose above its start, or single gradients far above the others; `harmed`: nothing was learned."""
    ratio = gradient_ratio(seen.history)
    risen = descent is not None and descent.peak > thresholds.EXPLOSION * descent.first
    steep = ratio is not None and ratio > thresholds.GRADIENT_RATIO
    if not risen and not steep:
        return None
    evidence, numbers = [], []
    if descent is not None:
        numbers += [
            EvidenceNumber(name="training loss before", value=descent.first, unit="nats"),
            EvidenceNumber(name="highest training loss", value=descent.peak, unit="nats"),
        ]
        evidence.append(
            f"Training loss {descent.first:.3g} at the start, {descent.peak:.3g} around update {descent.peak_step}, "
            f"{descent.last:.3g} at the end (nats a token)."
        )
    if ratio is not None:
        numbers.append(EvidenceNumber(name="largest gradient norm over the median", value=ratio, unit="ratio"))
        evidence.append(f"The largest gradient norm is {ratio:.3g} times the median one.")
    where = f"at update {descent.peak_step}" if risen and descent is not None else "in single updates"
    return Finding(
        cause="learning-rate-too-high",
        severity="problem" if risen or harmed else "warning",
        summary=f"The loss exploded {where}: learning_rate {seen.recipe.learning_rate:g} is too high."
        if risen
        else f"Single gradients are {ratio:.3g} times the median: learning_rate {seen.recipe.learning_rate:g} is "
        f"{'too high: nothing was learned' if harmed else 'at the edge'}.",
        evidence=tuple(evidence),
        numbers=tuple(numbers),
        remedy=f"Lower learning_rate to {seen.recipe.learning_rate / 5:.2g} and warm up.",
        recipe_patch=calmer(seen),
        next_experiment=try_it(seen),
    )


def calmer(seen: Observed) -> dict[str, Json]:
    """The recipe fields of a training whose updates are a fifth."""
    patch: dict[str, Json] = {"learning_rate": float(f"{seen.recipe.learning_rate / 5:.2g}")}
    if not seen.recipe.warmup_steps and not seen.recipe.warmup_ratio:
        patch["warmup_ratio"] = 0.05
    if seen.recipe.max_grad_norm > 1.0:
        patch["max_grad_norm"] = 1.0
    if seen.recipe.fp16:
        patch |= {"fp16": False, "bf16": True}
    return patch


def majority_share(answers: Answers) -> tuple[str, float]:
    """The most frequent reference of some rows and its share."""
    counts = Counter(found.reference for found in answers.predictions)
    label = min(counts, key=lambda text: (-counts[text], text))
    return label, counts[label] / max(1, counts.total())


def _collapse(seen: Observed) -> Finding | None:
    """One answer nearly everywhere, and no better for it."""
    if not seen.is_classification or seen.evaluation is None or len(seen.splits.labels) < 2:
        return None
    given = Counter(found.prediction or "" for found in seen.evaluation.predictions)
    answer, count = given.most_common(1)[0]
    rows = len(seen.evaluation.predictions)
    true_share = sum(found.reference == answer for found in seen.evaluation.predictions) / rows
    share, accuracy = count / rows, mean_of(seen.evaluation.values)
    _, majority = majority_share(seen.evaluation)
    taken = (share - true_share) / max(1e-9, 1.0 - true_share)
    if taken < thresholds.COLLAPSED or accuracy.low > majority or rows < thresholds.SLICE_ROWS:
        return None
    counts = Counter(item.references[0] for item in seen.splits.train)
    uneven = max(counts.values()) / counts.total() > 0.8
    patch: dict[str, Json] = {"class_weights": _even_weights(counts)} if uneven else calmer(seen)
    return Finding(
        cause="majority-collapse",
        severity="problem",
        summary=f"The model answers '{answer}' to {share:.0%} of the rows; {true_share:.0%} of them are.",
        evidence=(
            f"Accuracy {level(accuracy, 'share')}; always answering the most frequent label has {majority:.1%}.",
            *(f"'{name}': {number:,} training rows" for name, number in counts.most_common(5)),
        ),
        numbers=(
            mean_of(np.array([float(found.prediction == answer) for found in seen.evaluation.predictions])).number(
                "share of the most frequent answer"
            ),
            accuracy.number("accuracy"),
            EvidenceNumber(name="accuracy of the most frequent label", value=majority, unit="share"),
        ),
        remedy="Weigh the classes (class_weights) and gate macro-F1, which accuracy hides."
        if uneven
        else "The classes are even enough: lower learning_rate, which often ends so, and gate macro-F1.",
        recipe_patch=patch,
        next_experiment=try_it(seen),
    )


def _even_weights(counts: Mapping[str, int]) -> dict[str, float]:
    rows = sum(counts.values())
    return {name: round(rows / (len(counts) * number), 3) for name, number in sorted(counts.items())}


def is_learned(seen: Observed) -> bool | None:
    """Whether the training rows were learned; None where that cannot be told."""
    if seen.train is None or not seen.is_share:
        return None
    floor = majority_share(seen.train)[1] if seen.is_classification else 0.0
    return (float(seen.train.values.mean()) - floor) / max(1e-9, 1.0 - floor) >= thresholds.LEARNED


def _not_learned(seen: Observed, descent: Descent) -> Iterator[Finding]:
    learned = is_learned(seen)
    if learned or (learned is None and descent.drop >= thresholds.LITTLE_DROP):
        return
    if seen.train is not None and seen.evaluation is not None:
        gap = difference(seen.train.values, seen.evaluation.values)
        if gap.low > (thresholds.GAP if seen.is_share else thresholds.GAP_NATS):
            return
    falling = descent.drop < thresholds.LITTLE_DROP or (
        descent.momentum is not None and descent.momentum > thresholds.MOMENTUM
    )
    if falling:
        few = descent.updates < thresholds.FEW_UPDATES and descent.drop >= thresholds.LITTLE_DROP
        yield _still_learning(seen, descent) if few else _too_low(seen, descent)
    else:
        yield _plateau(seen, descent)


def _evidence(seen: Observed, descent: Descent) -> tuple[str, ...]:
    lines = [
        f"Training loss {descent.first:.3g} to {descent.last:.3g} nats a token in {descent.updates} updates: "
        f"{descent.drop:.0%} less."
    ]
    if descent.momentum is not None:
        lines.append(
            f"By summed learning rate it fell {descent.momentum:.2f} times as fast in the middle third as in the first."
        )
    if seen.train is not None:
        lines.append(f"{seen.metric} of training rows {level(mean_of(seen.train.values), seen.unit)}.")
    return tuple(lines)


def _numbers(seen: Observed, descent: Descent) -> tuple[EvidenceNumber, ...]:
    found = [EvidenceNumber(name="drop of the training loss", value=descent.drop, unit="share")]
    if descent.momentum is not None:
        found.append(EvidenceNumber(name="momentum", value=descent.momentum, unit="ratio"))
    if seen.train is not None:
        found.append(mean_of(seen.train.values).number(f"{seen.metric} of training rows", seen.unit))
    return tuple(found)


def _too_low(seen: Observed, descent: Descent) -> Finding:
    rate = float(f"{seen.recipe.learning_rate * 5:.2g}")
    return Finding(
        cause="learning-rate-too-low",
        severity="problem",
        summary=f"The training rows were hardly learned in {descent.updates} updates: learning_rate "
        f"{seen.recipe.learning_rate:g} is too low.",
        evidence=_evidence(seen, descent),
        numbers=_numbers(seen, descent),
        remedy=f"Raise learning_rate to {rate:g}; models of a few million parameters want 1e-3 to 3e-3 with LoRA, from "
        "100 million on 1e-4 to 3e-4.",
        recipe_patch={"learning_rate": rate},
        next_experiment=try_it(seen),
    )


def _still_learning(seen: Observed, descent: Descent) -> Finding:
    patch: dict[str, Json]
    if seen.recipe.max_steps is not None:
        patch = {"max_steps": 3 * seen.recipe.max_steps}
    else:
        patch = {"num_train_epochs": 3 * (seen.recipe.num_train_epochs or 3.0)}
    if seen.recipe.per_device_train_batch_size > SMALL_BATCH:
        patch["per_device_train_batch_size"] = SMALL_BATCH
    return Finding(
        cause="still-learning",
        severity="problem",
        summary=f"The model was still learning when the training stopped after {descent.updates} updates.",
        evidence=_evidence(seen, descent),
        numbers=_numbers(seen, descent),
        remedy="Train three times as long, or take smaller batches: " + _listed(patch) + ".",
        recipe_patch=patch,
        next_experiment=try_it(seen),
    )


def _plateau(seen: Observed, descent: Descent) -> Finding:
    rank = seen.recipe.options.get("r")
    patch: dict[str, Json] = {"options.r": 2 * rank} if isinstance(rank, int) else {}
    return Finding(
        cause="plateau",
        severity="warning",
        summary="The training rows were not learned and the loss no longer fell: the model is too small for the task, "
        "or its rows do not hold the answer.",
        evidence=(
            *_evidence(seen, descent),
            *(["The loss stood still over the last third of the training."] if is_flat(seen.history) else []),
        ),
        numbers=_numbers(seen, descent),
        remedy="First a learning curve; then options.r doubled on all linear layers, then a larger base model.",
        recipe_patch=patch,
        next_experiment=f"slmcheck diagnose {seen.recipe.name} --learning-curve",
    )


def _listed(patch: Mapping[str, Json]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in patch.items())


def try_it(seen: Observed) -> str:
    """The command that trains the patched recipe and compares."""
    return f"slmcheck diagnose {seen.recipe.name} --try"


def gap_text(seen: Observed, train: Answers, evaluation: Answers) -> str:
    """The gap in a sentence."""
    return (
        f"{seen.metric} {level(mean_of(train.values), seen.unit)} on training rows, "
        f"{level(mean_of(evaluation.values), seen.unit)} on evaluation rows: a gap of "
        f"{points(difference(train.values, evaluation.values), seen.unit)}."
    )
