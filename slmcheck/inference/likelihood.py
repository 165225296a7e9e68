"""How likely the reference is: of an answer behind its prompt, or of a whole document in windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from slmcheck.backends import LanguageModel, TokenTree
from slmcheck.data.encoding import Encoded, encode
from slmcheck.errors import PredictionError, RecipeError
from slmcheck.inference.batching import run_batches, tree_batches
from slmcheck.inference.rows import Asked, check_lengths
from slmcheck.records import EvaluationSpec, PredictedRow, Recipe

DEFAULT_WINDOW = 1024
"""Window of a model whose configuration states no context."""


@dataclass(frozen=True)
class Window:
    """A part of a token sequence that one forward pass reads, and which of its tokens count."""

    start: int
    stop: int
    counted: tuple[int, ...]
    """Places in the whole sequence; within (start, stop)."""

    @property
    def size(self) -> int:
        """Tokens read."""
        return self.stop - self.start


@dataclass(frozen=True, eq=False)
class _Piece:
    row: int
    part: int
    window: Window
    tree: TokenTree


@dataclass
class _Sum:
    pieces: int
    parts: dict[int, float] = field(default_factory=dict)
    tokens: int = 0


def predict_likelihoods(
    model: LanguageModel,
    asked: Sequence[Asked],
    recipe: Recipe,
    on_rows: Callable[[Sequence[PredictedRow]], None],
) -> None:
    """See `slmcheck.inference.predict`.

    Behind a prompt: the tokens of the answer and the EOS after it. A document of language modelling: each of its tokens
    once, EOS excluded, in strided windows. The first token of a sequence has no prediction; where the tokenizer puts
    BOS first, that is BOS, and every token of the document counts.
    """
    encoded = [encode(row.example, model.tokenizer, recipe=recipe, end=not is_document(recipe)) for row in asked]
    if is_document(recipe):
        window, stride = window_and_stride(recipe.evaluation, model.context_tokens)
        cut = [document_windows(len(one.ids), window=window, stride=stride) for one in encoded]
    else:
        check_lengths(
            [(row, len(one.ids)) for row, one in zip(asked, encoded, strict=True)],
            model.context_tokens,
            what="prompt and answer",
        )
        cut = [answer_window(one) for one in encoded]
    _check_not_empty(asked, cut)
    sums = [_Sum(pieces=len(own)) for own in cut]
    pieces = [
        _Piece(row, part, window, _tree(encoded[row].ids, window))
        for row, own in enumerate(cut)
        for part, window in enumerate(own)
    ]

    def run(batch: Sequence[_Piece]) -> list[NDArray[np.float64]]:
        return model.log_probabilities([piece.tree for piece in batch])

    work = tree_batches(model, pieces, lambda piece: piece.tree, budget=recipe.evaluation.batch_tokens)
    for finished in run_batches(model, work, run):
        whole = []
        for piece, values in finished:
            own = sums[piece.row]
            own.parts[piece.part] = float(values.sum())
            own.tokens += len(values)
            if len(own.parts) == own.pieces:
                whole.append(_row(asked[piece.row], own))
        if whole:
            on_rows(whole)


def is_document(recipe: Recipe) -> bool:
    """Whether rows are documents without a prompt."""
    return recipe.task == "language_modeling"


def window_and_stride(settings: EvaluationSpec, context_tokens: int | None) -> tuple[int, int]:
    """Window and stride of a perplexity, in tokens: the context of the model and half of it unless the recipe says.

    Raises:
        RecipeError: If the window exceeds the context or the stride the window.
    """
    window = settings.window or context_tokens or DEFAULT_WINDOW
    stride = settings.stride or max(1, window // 2)
    if window < 2 or (context_tokens is not None and window > context_tokens):
        raise RecipeError(
            f"evaluation.window is {window} tokens.\n"
            f"The model reads 2 to {context_tokens or 'any number of'} tokens: give a window within that, or none."
        )
    if not 0 < stride < window:
        raise RecipeError(
            f"evaluation.stride is {stride} tokens and the window {window}.\n"
            "A stride is at least 1 and smaller than the window, so that every counted token has others before it."
        )
    return window, stride


def document_windows(length: int, *, window: int, stride: int) -> list[Window]:
    """Windows over a document of `length` tokens, each token but the first counted once.

    The first window counts all its tokens. Each later one ends `stride` tokens further, or at the document's end, reads
    `window` tokens and counts those that no window before it counted, so each counted token has at least
    `window - stride` tokens before it, or all that the document has.

    Source: "Perplexity of fixed-length models", transformers documentation; the last window keeps its full length, as
    in lm-eval 0.4.
    """
    found: list[Window] = []
    counted = 1
    while counted < length:
        stop = min(length, window if not found else counted + stride)
        found.append(Window(max(0, stop - window), stop, tuple(range(counted, stop))))
        counted = stop
    return found


def answer_window(encoded: Encoded) -> list[Window]:
    """The whole row, of which the answer and the EOS after it count."""
    counted = tuple(place for place in range(max(1, encoded.answer_start), len(encoded.ids)) if encoded.labelled[place])
    return [Window(0, counted[-1] + 1, counted)] if counted else []


def _tree(ids: Sequence[int], window: Window) -> TokenTree:
    places = np.asarray(window.counted, dtype=np.int64) - window.start
    return TokenTree.sequence(ids[window.start : window.stop], places)


def _row(row: Asked, own: _Sum) -> PredictedRow:
    nll = -math.fsum(own.parts.values())
    if not math.isfinite(nll):
        raise PredictionError(
            f"The model gives no finite likelihood to {row.place}: {nll}.\n"
            "Its weights or activations are not finite: look at the losses of the training."
        )
    text = covered_text(row)
    return PredictedRow(row=row.row, nll=nll, tokens=own.tokens, bytes=len(text.encode()), words=len(text.split()))


def covered_text(row: Asked) -> str:
    """The text whose likelihood is asked, without special tokens."""
    if not row.example.messages:
        return row.example.answer
    content = row.example.messages[-1].get("content")
    return content if isinstance(content, str) else row.example.answer


def _check_not_empty(asked: Sequence[Asked], cut: Sequence[Sequence[Window]]) -> None:
    empty = [row for row, own in zip(asked, cut, strict=True) if not own]
    if empty:
        raise PredictionError(
            f"{len(empty)} rows have no token whose likelihood can be asked: {empty[0].place}.\n"
            "An answer needs at least one token, a document without BOS at least two."
        )
