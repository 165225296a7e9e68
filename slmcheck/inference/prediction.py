"""The one entry: examples in, predicted rows out as their batches finish."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slmcheck.backends import LanguageModel
from slmcheck.data import row_digest
from slmcheck.inference.generation import predict_texts
from slmcheck.inference.likelihood import predict_likelihoods
from slmcheck.inference.options import Ask, predict_options
from slmcheck.inference.rows import Asked
from slmcheck.records import Example, PredictedRow, PredictionKind, Recipe

CACHE_VERSION = 1
"""Changes when the same checkpoint, rows and settings would give other predictions."""

OnRows = Callable[[Sequence[PredictedRow]], None]


def predict(
    model: LanguageModel,
    examples: Sequence[Example],
    *,
    kind: PredictionKind,
    recipe: Recipe,
    on_rows: OnRows,
    ask: Ask | None = None,
) -> None:
    """Ask a model about examples; what it answers to one row does not depend on the others.

    Rows that render to the same text are asked once and reported once.

    Args:
        model: A loaded model.
        examples: Rendered rows.
        kind: What is asked: to choose an option, how likely the reference is, or to write an answer.
        recipe: How it is asked (`recipe.evaluation`) and how rows are rendered.
        ask: Asks about options in the model's place and may look at what it gives; from several threads.
        on_rows: Is called from this thread with the rows of each finished batch, in no particular order.

    Raises:
        PredictionError: If rows are longer than the model's context, or a single row needs more memory than there is.
        InputError: If the settings cannot be carried out.
    """
    asked: dict[str, Asked] = {}
    for example in examples:
        row = row_digest(example, kind, recipe)
        asked.setdefault(row, Asked(row, example))
    if not asked:
        return
    if kind == "options":
        predict_options(model, list(asked.values()), recipe, on_rows, ask)
    elif kind == "nll":
        predict_likelihoods(model, list(asked.values()), recipe, on_rows)
    else:
        predict_texts(model, list(asked.values()), recipe, on_rows)
