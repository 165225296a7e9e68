"""Findings about what lies between the model and its score: stored weights, ends of generations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from slmcheck.diagnosis import thresholds
from slmcheck.diagnosis.estimates import level, mean_of
from slmcheck.diagnosis.learning import try_it
from slmcheck.diagnosis.observed import Observed
from slmcheck.records import Finding


def plumbing_findings(seen: Observed) -> Iterator[Finding]:
    """What stored weights and generations give away."""
    yield from _stored_weights(seen)
    yield from _never_stops(seen)


def _stored_weights(seen: Observed) -> Iterator[Finding]:
    """The loss of validation rows by the stored weights, against what the training noted at the step it kept."""
    if seen.reloaded is None or seen.rows is None or seen.best_step is None:
        return
    history = seen.rows.validation
    line = history.line_at(seen.best_step)
    if line is None:
        return
    noted = dict(zip(history.ids, history.nll[line] / np.maximum(history.tokens, 1.0), strict=True))
    counted = dict(zip(history.ids, history.tokens, strict=True))
    pairs = [
        (found.id, found.nll / found.tokens, noted[found.id])
        for found in seen.reloaded.predictions
        if found.nll is not None
        and found.tokens
        and found.tokens == counted.get(found.id)
        and np.isfinite(noted[found.id])
    ]
    if len(pairs) < 3:
        return
    change = mean_of(np.array([abs(now - then) for _, now, then in pairs]))
    if change.low <= thresholds.RELOADED_NATS:
        return
    worst = sorted(pairs, key=lambda pair: -abs(pair[1] - pair[2]))
    yield Finding(
        cause="checkpoint-differs",
        severity="problem",
        summary="The stored weights are not those that were trained: validation rows have another loss than the "
        f"training noted at step {seen.best_step}.",
        evidence=(
            f"Mean difference {level(change, 'nats')} a token over {len(pairs)} rows.",
            *(f"{name}: {then:.3f} nats a token in training, {now:.3f} now" for name, now, then in worst[:3]),
        ),
        numbers=(change.number("difference of the validation loss", "nats"),),
        remedy="Train again; see what saves, merges or loads the weights, the revision of the base model and its "
        "tokenizer.",
        next_experiment=f"slmcheck train {seen.recipe.name} --retrain",
        examples=tuple(name for name, _, _ in worst[:20]),
    )


def _never_stops(seen: Observed) -> Iterator[Finding]:
    if seen.evaluation is None:
        return
    ended = [found for found in seen.evaluation.predictions if found.finished is not None]
    if not ended:
        return
    endless = [found for found in ended if not found.finished]
    share = mean_of(np.array([float(not found.finished) for found in ended]))
    if share.low <= thresholds.NEVER_STOPS:
        return
    longer = [found for found in endless if len(found.reference) > len(found.prediction or "")]
    too_short = len(longer) > len(endless) / 2
    limit = seen.recipe.evaluation.max_new_tokens
    yield Finding(
        cause="max-new-tokens-too-small" if too_short else "answers-never-stop",
        severity="problem",
        summary=f"{len(endless)} of {len(ended)} generations are cut at {limit} tokens; their references are longer."
        if too_short
        else f"{len(endless)} of {len(ended)} generations never stop: they end at {limit} tokens.",
        evidence=(
            f"Share {level(share, 'share')}.",
            *(f"{found.id}: ...{(found.prediction or '')[-60:]!r}" for found in endless[:3]),
        ),
        numbers=(share.number("generations that end by their length"),),
        remedy="Raise evaluation.max_new_tokens."
        if too_short
        else "The model never saw the end token, or learned too little: learn EOS (do not mask it where pad is EOS), "
        "or name a stop text in evaluation.stop.",
        recipe_patch={"evaluation.max_new_tokens": 2 * limit} if too_short else {},
        next_experiment=try_it(seen) if too_short else f"slmcheck data check {seen.recipe.name}",
        examples=tuple(found.id for found in endless[:20]),
    )
