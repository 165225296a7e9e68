"""Predictions to measure: written out by a test, or realistic ones to compare with reference implementations."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from slmcheck.gates import ScoreSource
from slmcheck.metrics import Metric, MetricFunction, as_metric, measure
from slmcheck.records import Prediction

Predict = Callable[..., list[Prediction]]
Value = Callable[[Metric | MetricFunction, Sequence[Prediction]], float]

LABELS = ("anger", "joy", "neutral", "sadness")
SENTENCE = """
the a hotel near river serves Italian food in city centre and it is family friendly with rating 5 out of , . ! The A
Alimentum's £20-25 Café naïve low-priced Blue Spice 3.5 don't 'quoted' (bracketed) U.S. well-known
"""


@pytest.fixture
def source() -> ScoreSource:
    return ScoreSource(name="lora")


@pytest.fixture
def predict() -> Predict:
    """Predictions of answers with their references: `predict(["spam"], ["ham"], options=("ham", "spam"))`."""

    def make(
        answers: Sequence[str | None], references: Sequence[str | Sequence[str]], **fields: object
    ) -> list[Prediction]:
        return [
            Prediction(
                id=f"e{number:04}",
                prediction=answer,
                references=(reference,) if isinstance(reference, str) else tuple(reference),
                **fields,  # type: ignore[arg-type]
            )
            for number, (answer, reference) in enumerate(zip(answers, references, strict=True))
        ]

    return make


@pytest.fixture
def value(source: ScoreSource) -> Value:
    """The value of a metric or metric function on predictions."""

    def measured(metric: Metric | MetricFunction, predictions: Sequence[Prediction]) -> float:
        return float(measure(as_metric(metric), predictions, source))

    return measured


@pytest.fixture(scope="session")
def classified() -> list[Prediction]:
    """Five hundred rows of four unequal classes, three in four right."""
    rng = random.Random(0)
    references = rng.choices(LABELS, weights=(1, 6, 10, 3), k=500)
    return [
        Prediction(
            id=f"e{number:04}",
            prediction=reference if rng.random() < 0.75 else rng.choice(LABELS),
            references=(reference,),
            options=LABELS,
        )
        for number, reference in enumerate(references)
    ]


@pytest.fixture(scope="session")
def generated() -> list[Prediction]:
    """Eighty written answers like their references, some empty, some of several lines."""
    rng, words_of_text = random.Random(1), SENTENCE.split()

    def sentence() -> list[str]:
        return rng.choices(words_of_text, k=rng.randrange(4, 25))

    def text(words: list[str]) -> str:
        lines = rng.choice([1, 1, 2, 3])
        return "\n".join(" ".join(words[number::lines]) for number in range(lines))

    made = []
    for number in range(80):
        words = sentence()
        answer = [word for word in words if rng.random() < 0.85]
        rng.random() < 0.3 and rng.shuffle(answer)
        made.append(
            Prediction(
                id=f"e{number:04}",
                prediction=text(answer + sentence()[:3]) if number % 20 else "",
                references=(text(words),),
            )
        )
    return made


@pytest.fixture(scope="session")
def with_several_references(generated: list[Prediction]) -> list[Prediction]:
    """The same answers with one to three references each."""
    texts = [item.reference for item in generated]
    return [
        Prediction(
            id=item.id,
            prediction=item.prediction,
            references=tuple(texts[(number + 7 * other) % len(texts)] for other in range(1 + number % 3)),
        )
        for number, item in enumerate(generated)
    ]


@pytest.fixture
def real_rows(real_data: Path) -> Callable[[str], list[dict[str, object]]]:
    """The test rows of a public data set by name."""

    def rows(name: str) -> list[dict[str, object]]:
        text = (real_data / "data" / name / "test.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.split("\n") if line]

    return rows
