"""What the words of a text alone give away: TF-IDF with logistic regression, and the nearest training row.

A leaf module: scikit-learn is imported inside its functions, and only a diagnosis that the store lacks reaches them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slmcheck.data.leaks import input_text
from slmcheck.errors import MissingExtraError
from slmcheck.records import Example

MOST_ROWS = 20_000
"""Training rows that are learned at most; the others change the score little and cost minutes."""
_CHUNK = 2_000


@dataclass(frozen=True)
class SurfaceAnswer:
    """What the words of a row suggest."""

    text: str
    probabilities: tuple[float, ...] | None = None
    """Of the labels, in their order; None where there are none."""


def linear_answers(
    train: Sequence[Example], asked: Sequence[Example], labels: Sequence[str]
) -> tuple[SurfaceAnswer, ...]:
    """TF-IDF of words and word pairs, and logistic regression.

    Args:
        train: Rows to learn from.
        asked: Rows to answer.
        labels: The labels in order.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    _need()
    from sklearn.linear_model import LogisticRegression

    train = _some(train)
    known = [item.references[0] for item in train]
    if len(set(known)) < 2:
        return tuple(SurfaceAnswer(known[0]) for _ in asked)
    rows, questions = _features(train, asked)
    model = LogisticRegression(C=10.0, max_iter=200)
    model.fit(rows, known)
    columns = {label: place for place, label in enumerate(model.classes_)}
    found = []
    for line in model.predict_proba(questions):
        probabilities = tuple(float(line[columns[label]]) if label in columns else 0.0 for label in labels)
        found.append(SurfaceAnswer(str(model.classes_[int(np.argmax(line))]), probabilities))
    return tuple(found)


def nearest_answers(train: Sequence[Example], asked: Sequence[Example]) -> tuple[SurfaceAnswer, ...]:
    """The answer of the training row whose words are most alike, by cosine of TF-IDF.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    _need()
    train = _some(train)
    rows, questions = _features(train, asked)
    found = []
    for start in range(0, questions.shape[0], _CHUNK):
        alike = (questions[start : start + _CHUNK] @ rows.T).toarray()
        found += [SurfaceAnswer(train[int(place)].references[0]) for place in alike.argmax(axis=1)]
    return tuple(found)


def _features(train: Sequence[Example], asked: Sequence[Example]) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [input_text(item) for item in train]
    words = r"(?u)\b\w+\b"
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=words)
    try:
        rows = vectorizer.fit_transform(texts)
    except ValueError:  # no row has a word: characters then
        vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3))
        rows = vectorizer.fit_transform(texts)
    return rows, vectorizer.transform([input_text(item) for item in asked])


def _some(train: Sequence[Example]) -> Sequence[Example]:
    return sorted(train, key=lambda item: item.id)[:MOST_ROWS] if len(train) > MOST_ROWS else train


def _need() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "The answers of TF-IDF need scikit-learn, which is not installed.\n"
            "Install it: pip install slmcheck[evaluate]"
        ) from error
