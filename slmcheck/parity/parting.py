"""Where greedy texts of two models part, and whether rounding explains it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slmcheck.backends import LanguageModel
from slmcheck.data.encoding import encode_prompt
from slmcheck.errors import PredictionError, UndefinedScoreError
from slmcheck.gates import Evidence, Score, ScoreSource
from slmcheck.parity.scores import SCORES
from slmcheck.records import Example, ExampleEvidence, Prediction, Recipe

ROWS = 16
"""Texts that both models write together."""


@dataclass(frozen=True, kw_only=True)
class Parting:
    """Two greedy texts of one prompt that are not the same."""

    example_id: str
    step: int | None
    """Tokens of the answer before they part; None where they part only in the company of other rows."""
    token: int | None = None
    """What the reference writes there."""
    other_token: int | None = None
    margin: float | None = None
    """How far the reference's best logit is above its second there."""
    difference: float | None = None
    """Largest difference of a logit there."""

    @property
    def is_rounding(self) -> bool:
        """Whether the two best tokens were closer than twice the difference: both models are right by their logits.

        Anything else is a fault of what runs the graph, never of its rounding.
        """
        if self.margin is None or self.difference is None:
            return False
        return self.margin <= 2.0 * self.difference


def partings(
    reference: LanguageModel, other: LanguageModel, examples: Sequence[Example], *, recipe: Recipe
) -> tuple[Parting, ...]:
    """Write greedy texts with the reference, ask the other model at every step, and say where it would go on otherwise.

    Until they part both have read the same tokens, so the first step at which the other model prefers another token is
    where its own text parts.

    Args:
        reference: The model that is right by definition.
        other: The model that wrote another text.
        examples: Those whose texts are not the same; at least one.
        recipe: How they are rendered, and how long a text may be.

    Raises:
        PredictionError: If a model gives no numbers.
    """
    ordered = sorted(examples, key=lambda example: len(encode_prompt(example, reference.tokenizer, recipe=recipe)))
    found: dict[str, Parting] = {}
    for start in range(0, len(ordered), ROWS):
        for parting in _together(reference, other, ordered[start : start + ROWS], recipe):
            found[parting.example_id] = parting
    return tuple(found[example.id] for example in examples)


def _together(
    reference: LanguageModel, other: LanguageModel, examples: Sequence[Example], recipe: Recipe
) -> list[Parting]:
    prompts = [encode_prompt(example, reference.tokenizer, recipe=recipe) for example in examples]
    context, limit = reference.context_tokens, recipe.evaluation.max_new_tokens
    if context is not None:
        limit = min(limit, context - max(len(prompt) for prompt in prompts))
    length = max(len(prompt) for prompt in prompts) + limit
    found: dict[str, Parting] = {}
    # A decoder may have room for fewer rows than it was asked for: then rows are read one by one.
    decoders = [model.decoder(rows=len(prompts), length=length) for model in (reference, other)]
    if min(decoder.room for decoder in decoders) < len(prompts):
        return [parting for example in examples for parting in _together(reference, other, [example], recipe)]
    active = list(examples)
    logits = [decoder.add(prompts) for decoder in decoders]
    for step in range(limit):
        _check_numbers(logits, active)
        best, others = (values.argmax(axis=1) for values in logits)
        for row in range(len(active) - 1, -1, -1):
            parted = best[row] != others[row]
            if parted:
                found[active[row].id] = _parting(active[row].id, step, logits[0][row], logits[1][row])
            if parted or int(best[row]) in reference.eos_ids:
                for decoder in decoders:
                    decoder.drop(row)
                active[row], best[row] = active[-1], best[len(active) - 1]
                active.pop()
        if not active:
            break
        if step + 1 < limit:
            logits = [decoder.step(best[: len(active)]) for decoder in decoders]
    return [found.get(example.id, Parting(example_id=example.id, step=None)) for example in examples]


def _check_numbers(logits: Sequence[NDArray[np.float32]], examples: Sequence[Example]) -> None:
    for values in logits:
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            example = examples[int(bad[0])]
            raise PredictionError(f"A model gives logits that are not numbers for {example.source or example.id}.")


def _parting(example_id: str, step: int, reference: NDArray[np.float32], other: NDArray[np.float32]) -> Parting:
    second, first = np.partition(reference.astype(np.float64), -2)[-2:]
    return Parting(
        example_id=example_id,
        step=step,
        token=int(reference.argmax()),
        other_token=int(other.argmax()),
        margin=float(first - second),
        difference=float(np.abs(reference.astype(np.float64) - other).max()),
    )


def divergence(
    reference: Sequence[Prediction],
    other: Sequence[Prediction],
    source: ScoreSource,
    *,
    show: Callable[[str], ExampleEvidence] | None = None,
) -> Score:
    """Share of greedy texts that are not the same to the character; range [0, 1], lower is better.

    Args:
        reference: Texts of the model that is right by definition.
        other: Those of the model that is to agree, of the same examples.
        source: Whose score it is: the export's.
        show: Example id to its texts, for failure messages.

    Raises:
        UndefinedScoreError: If there are no texts, or they are of other examples.
    """
    texts = {prediction.id: prediction.prediction for prediction in reference}
    if not other or {prediction.id for prediction in other} != set(texts):
        raise UndefinedScoreError(
            f"divergence of {source.name} has no value: {len(texts)} and {len(other)} texts of other examples.\n"
            "Both models must have written on the same examples."
        )
    parted = np.asarray([float(one.prediction != texts[one.id]) for one in other])
    evidence = Evidence(
        example_ids=tuple(one.id for one in other),
        statistics=np.stack([parted, np.ones_like(parted)], axis=1),
        columns=("sum", "count"),
        value_of_sum=lambda sums: np.divide(sums[..., 0], sums[..., 1]),
        groups=tuple(one.group or one.id for one in other) if any(one.group for one in other) else None,
        answers=tuple(one.prediction or "" for one in other),
        show=show,
    )
    return Score(evidence.value, metric=SCORES["divergence"].info, source=source, evidence=evidence)
