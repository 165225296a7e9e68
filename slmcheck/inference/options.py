"""Choosing an option by its log-likelihood: all options of a row behind one prompt, in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slmcheck.backends import LanguageModel, TokenTree
from slmcheck.data.encoding import Encoded, encode
from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.errors import PredictionError
from slmcheck.inference.batching import run_batches, tree_batches
from slmcheck.inference.rows import Asked, check_lengths
from slmcheck.records import Example, Normalization, PredictedRow, Recipe


@dataclass(frozen=True, eq=False)
class OptionTree:
    """A prompt with all its options as one token tree."""

    tree: TokenTree
    questions: tuple[NDArray[np.int64], ...]
    """For each option, the questions of the tree whose log-probabilities make its own."""
    longest: int
    """Tokens of the longest sequence in it."""

    @property
    def size(self) -> int:
        """Tokens of a forward pass."""
        return len(self.tree.tokens)

    def totals(self, log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Summed log-probability of each option; shape (questions,) -> (options,)."""
        return np.asarray([log_probabilities[places].sum() for places in self.questions])

    def lengths(self) -> NDArray[np.int64]:
        """Scored tokens of each option; shape (options,)."""
        return np.asarray([len(places) for places in self.questions])


Ask = Callable[[Sequence[tuple[Example, TokenTree]]], list[NDArray[np.float64]]]
"""Asks the model in place of `LanguageModel.log_probabilities`, and may look at what it gives."""


def predict_options(
    model: LanguageModel,
    asked: Sequence[Asked],
    recipe: Recipe,
    on_rows: Callable[[Sequence[PredictedRow]], None],
    ask: Ask | None = None,
) -> None:
    """See `slmcheck.inference.predict`.

    Only the tokens of the options are scored. EOS is appended to every option when the tokens of one begin another's.
    Ties go to the option listed first.
    """
    _check_settings(asked, recipe)
    trees = [(row, option_tree(model, row.example, recipe)) for row in asked]
    check_lengths([(row, tree.longest) for row, tree in trees], model.context_tokens, what="prompt and longest option")
    prior = _unconditional(model, asked, recipe) if recipe.evaluation.normalization == "unconditional" else {}

    def run(batch: Sequence[tuple[Asked, OptionTree]]) -> list[NDArray[np.float64]]:
        if ask is not None:
            return ask([(row.example, tree.tree) for row, tree in batch])
        return model.log_probabilities([tree.tree for _, tree in batch])

    work = tree_batches(model, trees, lambda item: item[1].tree, budget=recipe.evaluation.batch_tokens)
    for finished in run_batches(model, work, run):
        on_rows([_row(row, tree, values, recipe, prior) for (row, tree), values in finished])


def option_tree(model: LanguageModel, example: Example, recipe: Recipe) -> OptionTree:
    """The token tree of an example's options."""
    return build_tree(option_encodings(example, model.tokenizer, recipe=recipe, eos_ids=model.eos_ids))


def option_encodings(
    example: Example, tokenizer: TextTokenizer, *, recipe: Recipe, eos_ids: Collection[int]
) -> list[Encoded]:
    """The prompt with each option, as ids; see `predict_options`."""
    encoded = [encode(example, tokenizer, recipe=recipe, text=text, end=False) for text in example.option_texts]
    if _one_begins_another([one.ids for one in encoded]):
        encoded = [encode(example, tokenizer, recipe=recipe, text=text) for text in example.option_texts]
    return [_startable(one, eos_ids) for one in encoded]


def build_tree(options: Sequence[Encoded]) -> OptionTree:
    """Options as one tree; the last token of an option is asked but never read, unless another option goes on."""
    first = options[0]
    tokens, parents = list(first.ids[:-1]), list(range(-1, len(first.ids) - 2))
    children = {(parent, token): node for node, (parent, token) in enumerate(zip(parents, tokens, strict=True))}
    questions: dict[tuple[int, int], int] = {}
    places = []
    for option in options:
        shared = min(first.answer_start, option.answer_start)
        begin = shared if option.ids[:shared] == first.ids[:shared] else 0
        node, own = begin - 1, []
        for place in range(begin, len(option.ids)):
            token = option.ids[place]
            if place >= option.answer_start and option.labelled[place]:
                own.append(questions.setdefault((node, token), len(questions)))
            if place + 1 < len(option.ids):
                if (node, token) not in children:
                    children[(node, token)] = len(tokens)
                    tokens.append(token)
                    parents.append(node)
                node = children[(node, token)]
        places.append(np.asarray(own, dtype=np.int64))
    tree = TokenTree(
        tokens=np.asarray(tokens, dtype=np.int64),
        parents=np.asarray(parents, dtype=np.int64),
        asked=np.asarray([node for node, _ in questions], dtype=np.int64),
        targets=np.asarray([token for _, token in questions], dtype=np.int64),
    )
    return OptionTree(tree, tuple(places), max(len(option.ids) for option in options))


def normalized(
    totals: NDArray[np.float64],
    *,
    normalization: Normalization,
    tokens: NDArray[np.int64],
    options: Sequence[str],
    prior: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Option scores as the recipe asks.

    `sum` is acc of lm-eval, `mean_bytes` its acc_norm, `unconditional` its acc_mutual_info.

    Args:
        totals: Summed log-probabilities; shape (options,).
        normalization: The recipe's.
        tokens: Scored tokens of each option; shape (options,).
        options: The options; their UTF-8 lengths count for `mean_bytes`.
        prior: Log-probability of each option without a prompt; shape (options,).
    """
    if normalization == "mean_tokens":
        return totals / tokens
    if normalization == "mean_bytes":
        lengths = np.asarray([max(1, len(option.encode())) for option in options], dtype=np.float64)
        return np.divide(totals, lengths)
    return totals if prior is None else totals - prior


def _row(
    row: Asked,
    tree: OptionTree,
    log_probabilities: NDArray[np.float64],
    recipe: Recipe,
    prior: Mapping[tuple[str, ...], NDArray[np.float64]],
) -> PredictedRow:
    example, totals = row.example, tree.totals(log_probabilities)
    scores = normalized(
        totals,
        normalization=recipe.evaluation.normalization,
        tokens=tree.lengths(),
        options=example.options,
        prior=prior.get(example.option_texts),
    )
    if not np.isfinite(scores).all():
        raise PredictionError(
            f"The model gives no finite log-probability to the options of {row.place}: {scores.tolist()}.\n"
            "Its weights or activations are not finite: look at the losses of the training."
        )
    weights = np.exp(totals - totals.max())
    return PredictedRow(
        row=row.row,
        text=example.options[int(np.argmax(scores))],
        option_scores=tuple(scores.tolist()),
        option_probabilities=tuple((weights / weights.sum()).tolist()),
    )


def _unconditional(
    model: LanguageModel, asked: Sequence[Asked], recipe: Recipe
) -> dict[tuple[str, ...], NDArray[np.float64]]:
    """Log-probability of each option as the beginning of a text, for every set of options."""
    prior = {}
    for texts in {row.example.option_texts: None for row in asked}:
        bare = Example(id="unconditional", row={}, option_texts=texts)
        tree = option_tree(model, bare, recipe)
        prior[texts] = tree.totals(model.log_probabilities([tree.tree])[0])
    return prior


def _startable(encoded: Encoded, eos_ids: Collection[int]) -> Encoded:
    """The encoding with a first token that is not scored: EOS, where the tokenizer puts no BOS before a text."""
    if encoded.answer_start > 0:
        return encoded
    start = min(eos_ids)
    return replace(
        encoded, ids=(start, *encoded.ids), answer_start=1, labelled=(False, *(True for _ in encoded.labelled))
    )


def _one_begins_another(options: Sequence[tuple[int, ...]]) -> bool:
    ordered = sorted(options)
    return any(later[: len(one)] == one for one, later in pairwise(ordered))


def _check_settings(asked: Sequence[Asked], recipe: Recipe) -> None:
    without = [row for row in asked if not row.example.option_texts]
    if without:
        raise PredictionError(
            f"{len(without)} rows have no options to choose from: {without[0].place}.\n"
            "Options are asked of classifications: set task: classification, or labels in the recipe."
        )
