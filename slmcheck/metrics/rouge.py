"""ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum: F-measures equal to rouge-score's, without its import of scipy.

Lower-cased runs of a-z and 0-9 are the tokens; ROUGE-Lsum takes a line for a sentence. Of several references the best
one counts. Only stemming needs the package itself (its Porter stemmer).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from slmcheck.gates import MetricInfo
from slmcheck.metrics.answers import best_mean
from slmcheck.metrics.definition import GENERATED, Metric, Statistics, mean_of_sum
from slmcheck.records import Prediction

RougeType = Literal["rouge1", "rouge2", "rougeL", "rougeLsum"]
_TOKENS = re.compile(r"[a-z0-9]+")
_MARGIN = 0.005
"""Half a point of a hundred."""

Tokenize = Callable[[str], list[str]]


def tokens_of(text: str) -> list[str]:
    """The tokens of a text. Source: rouge_score.tokenize.tokenize 0.1.2, without stemming."""
    return _TOKENS.findall(text.lower())


def _stemmed() -> Tokenize:
    from rouge_score.tokenizers import DefaultTokenizer

    tokenize: Tokenize = DefaultTokenizer(use_stemmer=True).tokenize
    return tokenize


def _f_measure(hits: int, given: int, expected: int) -> float:
    # Precision and recall first, as rouge-score does, so that the floats are the same.
    precision, recall = hits / max(given, 1), hits / max(expected, 1)
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _ngram_overlap(order: int, tokens: Tokenize) -> Callable[[str, str], float]:
    def counted(text: str) -> Counter[tuple[str, ...]]:
        words = tokens(text)
        return Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))

    def score(answer: str, reference: str) -> float:
        given, expected = counted(answer), counted(reference)
        hits = sum(min(count, given[gram]) for gram, count in expected.items() if gram in given)
        return _f_measure(hits, given.total(), expected.total())

    return score


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, one bit a token of `first`.

    Source: Hyyrö 2004, bit-parallel LCS.
    """
    positions: dict[str, int] = {}
    for index, token in enumerate(first):
        positions[token] = positions.get(token, 0) | 1 << index
    everything = (1 << len(first)) - 1
    state = everything
    for token in second:
        matches = state & positions.get(token, 0)
        state = (state + matches | state - matches) & everything
    return len(first) - state.bit_count()


def _lcs_overlap(tokens: Tokenize) -> Callable[[str, str], float]:
    def score(answer: str, reference: str) -> float:
        given, expected = tokens(answer), tokens(reference)
        return _f_measure(longest_common_subsequence(expected, given), len(given), len(expected))

    return score


def _summary_overlap(tokens: Tokenize) -> Callable[[str, str], float]:
    def sentences(text: str) -> list[list[str]]:
        return [tokens(line) for line in text.split("\n") if line]

    def score(answer: str, reference: str) -> float:
        given, expected = sentences(answer), sentences(reference)
        left_given = Counter(word for sentence in given for word in sentence)
        left_expected = Counter(word for sentence in expected for word in sentence)
        given_count, expected_count = left_given.total(), left_expected.total()
        hits = 0
        for sentence in expected:
            # The union of what each answer sentence shares with this one, each word at most as often as it occurs.
            union = sorted({index for other in given for index in _common_positions(sentence, other)})
            for index in union:
                word = sentence[index]
                if left_given[word] > 0 and left_expected[word] > 0:
                    hits += 1
                    left_given[word] -= 1
                    left_expected[word] -= 1
        return _f_measure(hits, given_count, expected_count)

    return score


def _common_positions(reference: Sequence[str], answer: Sequence[str]) -> list[int]:
    """Positions in `reference` of one longest common subsequence: the one that rouge-score picks.

    Source: rouge_score.rouge_scorer 0.1.2, _lcs_table and _backtrack_norec.
    """
    rows, columns = len(reference), len(answer)
    table = [[0] * (columns + 1)]
    for word in reference:
        above, row = table[-1], [0]
        for column in range(columns):
            row.append(above[column] + 1 if word == answer[column] else max(above[column + 1], row[column]))
        table.append(row)
    found = []
    while rows > 0 and columns > 0:
        if reference[rows - 1] == answer[columns - 1]:
            rows, columns = rows - 1, columns - 1
            found.append(rows)
        elif table[rows][columns - 1] > table[rows - 1][columns]:
            columns -= 1
        else:
            rows -= 1
    return found


def _similarity(kind: RougeType, tokens: Tokenize) -> Callable[[str, str], float]:
    if kind == "rougeL":
        return _lcs_overlap(tokens)
    if kind == "rougeLsum":
        return _summary_overlap(tokens)
    return _ngram_overlap(int(kind.removeprefix("rouge")), tokens)


def rouge_score(kind: RougeType, *, stemmer: bool = False) -> Metric:
    """A ROUGE F-measure, with Porter stemming on request; 0..1, higher is better, the mean over rows."""
    name = f"{kind}_stemmed" if stemmer else kind

    def statistics(predictions: Sequence[Prediction]) -> Statistics:
        tokens = _stemmed() if stemmer else tokens_of
        return best_mean(name, predictions, _similarity(kind, tokens))

    return Metric(
        info=MetricInfo(
            name=name,
            unit="share",
            margin=_MARGIN,
            signature=f"{kind}|stemmer:{'porter' if stemmer else 'no'}|references:best|version:1",
        ),
        statistics=statistics,
        value_of_sum=mean_of_sum,
        needs=GENERATED,
        answers_only=True,
        description=f"Mean {kind} F-measure of answer and best reference; 0..1, higher is better. "
        "Source: rouge_score.rouge_scorer.RougeScorer.",
    )


rouge1 = rouge_score("rouge1")
rouge2 = rouge_score("rouge2")
rougeL = rouge_score("rougeL")  # noqa: N816  the name that the field uses
rougeLsum = rouge_score("rougeLsum")  # noqa: N816
