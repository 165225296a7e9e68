"""What a model without any learning would answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from slmcheck.errors import UndefinedScoreError
from slmcheck.records import Example, Prediction


def majority(train: Sequence[Example], evaluation: Sequence[Example]) -> tuple[Prediction, ...]:
    """Predictions that always give the most frequent training answer; of equally frequent ones the first by alphabet.

    The probability of an option is its share of the training answers, so that Brier and ECE are defined too.

    Raises:
        UndefinedScoreError: If the training rows have no reference.
    """
    counts = Counter(example.references[0].strip() for example in train if example.references)
    if not counts:
        raise UndefinedScoreError("The majority answer is undefined: no training row has a reference.")
    answer = min(counts, key=lambda text: (-counts[text], text))
    total = counts.total()
    return tuple(
        Prediction(
            id=example.id,
            prediction=answer,
            references=example.references,
            prompt=example.prompt,
            options=example.options,
            option_probabilities=tuple(counts[option.strip()] / total for option in example.options) or None,
            group=example.group,
            slices=example.slices,
            row=example.row,
        )
        for example in evaluation
    )
