"""Findings about labels: another column, words that share tokens, labels that the other rows contradict."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from slmcheck.data.leak_checks import shown
from slmcheck.data.leaks import input_text
from slmcheck.data.rendering import CLASSIFICATIONS
from slmcheck.data.splits import Splits
from slmcheck.data.tokenizers import TextTokenizer
from slmcheck.records import EvidenceNumber, Example, Finding, Recipe

Floats: TypeAlias = NDArray[np.float64]

LEAST_ROWS = 50
"""Fewer training rows tell nothing of single labels."""
ONCE_SHARE = 0.5
"""Share of labels that occur once from which on the answer field is probably another column."""
LISTED = 20
SHOWN = 5
SMOOTHING = 0.5
MOST_CELLS = 40_000_000
"""Words times labels up to which labels are weighed: about two seconds."""
_WORD = re.compile(r"\w+", re.UNICODE)


def label_findings(recipe: Recipe, splits: Splits, tokenizer: TextTokenizer | None) -> Iterator[Finding]:
    """What is wrong with the labels of a classification."""
    if recipe.task not in CLASSIFICATIONS or not splits.train:
        return
    yield from _too_many(recipe, splits)
    if tokenizer is not None and recipe.task == "classification":
        yield from _shared_tokens(splits, tokenizer)
    yield from _contradicted(splits)


def _too_many(recipe: Recipe, splits: Splits) -> Iterator[Finding]:
    counts = Counter(item.references[0] for item in (*splits.train, *splits.validation))
    rare = sum(count <= 2 for count in counts.values())
    rows = counts.total()
    if rows < LEAST_ROWS or len(counts) < rows / 4 or rare < ONCE_SHARE * len(counts):
        return
    yield Finding(
        cause="too-many-labels",
        severity="problem",
        summary=f"{len(counts):,} different labels in {rows:,} rows: '{recipe.data.answer}' is probably not the label.",
        evidence=(f"{rare:,} of them occur once or twice.", *(shown(item) for item in splits.train[:2])),
        numbers=(EvidenceNumber(name="labels per row", value=len(counts) / rows, unit="share"),),
        remedy="Name the column of the labels in data.answer; free text is task: generation.",
        next_experiment="slmcheck data check RECIPE",
    )


def _shared_tokens(splits: Splits, tokenizer: TextTokenizer) -> Iterator[Finding]:
    """Options that begin alike as the model reads them, so that their first token does not tell them apart."""
    texts = splits.train[0].option_texts or splits.labels
    first: dict[int, list[str]] = {}
    for label, text in zip(splits.labels, texts, strict=True):
        ids, _ = tokenizer.tokenize(text)
        words = [number for number in ids if tokenizer.decode([number]).strip()]
        if words:
            first.setdefault(words[0], []).append(label)
    shared = sorted((labels for labels in first.values() if len(labels) > 1), key=lambda labels: -len(labels))
    if not shared:
        return
    count = sum(map(len, shared))
    yield Finding(
        cause="label-words-share-tokens",
        severity="note",
        summary=f"{count} of {len(splits.labels)} labels begin with the token of another label.",
        evidence=tuple(", ".join(labels[:8]) + (" ..." if len(labels) > 8 else "") for labels in shared[:SHOWN]),
        numbers=(
            EvidenceNumber(name="labels that share their first token", value=count / len(splits.labels), unit="share"),
        ),
        remedy="Nothing if scores are good; else choose label words that differ from their first letters on.",
    )


def _contradicted(splits: Splits) -> Iterator[Finding]:
    """The rows whose label fits their words worst, as a list to read."""
    ranked = doubtful_labels(splits.train)
    if not ranked:
        return
    yield Finding(
        cause="label-noise",
        severity="note",
        summary=f"Review list: the {len(ranked)} training rows whose label other rows contradict most.",
        evidence=tuple(
            f"{item.source} '{item.references[0]}', by its words '{other}': {shown(item)}"
            for item, other in ranked[:SHOWN]
        ),
        remedy="Read them, and correct the labels that are wrong; a row here is a suspicion, no verdict.",
        next_experiment="slmcheck data check RECIPE --json has the ids of all of them",
        examples=tuple(item.id for item, _ in ranked),
    )


def doubtful_labels(rows: Sequence[Example]) -> list[tuple[Example, str]]:
    """Up to 20 rows, the most doubtful first, each with the label that its words suggest.

    Naive Bayes on words, each row left out of its own estimate by taking its words off the counts: no folds, no
    random numbers. The doubt is the log-odds of the suggested label against the given one, per square root of words.

    Args:
        rows: Training rows of a classification.

    Source: multinomial naive Bayes (McCallum and Nigam 1998), leave-one-out in closed form; ranked as
        self-confidence in Northcutt et al. 2021.
    """
    labels = sorted({item.references[0] for item in rows})
    if len(rows) < LEAST_ROWS or len(labels) < 2:
        return []
    known: dict[str, int] = {}
    words = [_unique_words(input_text(item), known) for item in rows]
    lengths = np.array([len(item) for item in words])
    if lengths.sum() * len(labels) > MOST_CELLS or not lengths.sum():
        return []
    flat = np.concatenate([np.array(item, dtype=np.int64) for item in words if item])
    row_of = np.repeat(np.arange(len(rows)), lengths)
    given = np.searchsorted(np.array(labels), np.array([item.references[0] for item in rows]))
    scores = _scores(flat, row_of, given, rows=len(rows), labels=len(labels), vocabulary=len(known))
    own = scores[np.arange(len(rows)), given]
    scores[np.arange(len(rows)), given] = -np.inf
    other = scores.argmax(axis=1)
    doubt = (scores.max(axis=1) - own) / np.sqrt(np.maximum(lengths, 1))
    doubt[lengths < 2] = -np.inf
    order = np.argsort(-doubt, kind="stable")[: min(LISTED, max(1, len(rows) // 20))]
    return [(rows[place], labels[other[place]]) for place in order.tolist() if doubt[place] > 0]


def _unique_words(text: str, known: dict[str, int]) -> list[int]:
    return [known.setdefault(word, len(known)) for word in dict.fromkeys(_WORD.findall(text.casefold()))]


def _scores(
    flat: NDArray[np.int64],
    row_of: NDArray[np.int64],
    given: NDArray[np.int64],
    *,
    rows: int,
    labels: int,
    vocabulary: int,
) -> Floats:
    """Log-probability of each label for each row, the row itself left out; shape (rows, labels)."""
    counts = np.zeros((vocabulary, labels))
    np.add.at(counts, (flat, given[row_of]), 1.0)
    totals, prior = counts.sum(axis=0), np.bincount(given, minlength=labels).astype(np.float64)
    smoothed = SMOOTHING * vocabulary
    scores = np.zeros((rows, labels))
    for label in range(labels):
        mine = given[row_of] == label
        own_words = np.bincount(row_of[mine], minlength=rows)
        seen = counts[flat, label] - mine
        whole = totals[label] - own_words[row_of] + smoothed
        logs = np.log(seen + SMOOTHING) - np.log(whole)
        scores[:, label] = np.bincount(row_of, weights=logs, minlength=rows)
        scores[:, label] += np.log(np.maximum(prior[label] - (given == label), 0.5))
    return scores
