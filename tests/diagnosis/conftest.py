"""What diagnosis reads, made up: a run of two labels that learned its task, and ways to plant a fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slmcheck.data import Splits
from slmcheck.diagnosis import Answers, Observed, RowHistory, SplitHistory
from slmcheck.records import DataSpec, Example, HistoryPoint, Prediction, Recipe

LABELS = ("glad", "sad")


def rows_of(split: str, count: int) -> tuple[Example, ...]:
    return tuple(
        Example(
            id=f"{split}-{n}",
            row={"phrase": f"{split} phrase number {n} of many", "tone": LABELS[n % 2]},
            prompt=f"Phrase: {split} phrase number {n} of many",
            answer=f" {LABELS[n % 2]}",
            references=(LABELS[n % 2],),
            options=LABELS,
            option_texts=tuple(f" {label}" for label in LABELS),
            source=f"{split}.jsonl:{n + 1}",
        )
        for n in range(count)
    )


def answers(rows, right, *, sure=0.8) -> Answers:
    """Answers of which the share `right` is right: as many of each label, anywhere among its rows."""
    rng = np.random.default_rng(7)
    flags = [False] * len(rows)
    for label in LABELS:
        places = [place for place, row in enumerate(rows) if row.references[0] == label]
        for place in rng.permutation(places)[: round(right * len(places))].tolist():
            flags[place] = True
    found = []
    for row, flag in zip(rows, flags, strict=True):
        answer = row.references[0] if flag else LABELS[1 - LABELS.index(row.references[0])]
        found.append(
            Prediction(
                id=row.id,
                prediction=answer,
                references=row.references,
                prompt=row.prompt,
                options=row.options,
                option_probabilities=tuple(sure if label == answer else 1 - sure for label in LABELS),
                row=row.row,
            )
        )
    return Answers(predictions=tuple(found), values=np.array(flags, dtype=np.float64))


def always(rows, label) -> Answers:
    right = np.array([float(row.references[0] == label) for row in rows])
    found = answers(rows, 1.0)
    return Answers(predictions=tuple(replace(one, prediction=label) for one in found.predictions), values=right)


def history(training, validation) -> tuple[HistoryPoint, ...]:
    """Losses by step: one training loss a step, validation losses spread evenly from step 0."""
    every = max(1, len(training) // (len(validation) - 1))
    points = [HistoryPoint(step=0, validation_loss=validation[0], train_subset_loss=validation[0])]
    for step, loss in enumerate(training, start=1):
        at, rest = divmod(step, every)
        seen = validation[at] if rest == 0 and at < len(validation) else None
        points.append(
            HistoryPoint(
                step=step,
                epoch=step / 50,
                train_loss=loss,
                validation_loss=seen,
                learning_rate=1e-3,
                gradient_norm=1.0,
            )
        )
    return tuple(points)


def row_history(train, validation, *, online=0.6, rise=0.0) -> RowHistory:
    """What the training noted: the share `online` right at first sight; the loss of each validation row rises."""
    flags = answers(train, online).values
    noise = np.linspace(-0.01, 0.01, len(validation))
    return RowHistory(
        train=SplitHistory(
            ids=tuple(row.id for row in train),
            tokens=np.full(len(train), 2.0),
            nll=np.ones((1, len(train))),
            correct=flags[None, :],
        ),
        validation=SplitHistory(
            ids=tuple(row.id for row in validation),
            tokens=np.full(len(validation), 2.0),
            nll=np.stack([np.full(len(validation), 1.0), np.full(len(validation), 1.0) + 2 * rise + noise]),
            correct=np.ones((2, len(validation))),
            steps=(50, 100),
        ),
        subset=SplitHistory(ids=(), tokens=np.empty(0), nll=np.empty((0, 0)), correct=np.empty((0, 0))),
    )


FALLING = [2.0 * 0.93**n + 0.2 for n in range(100)]
SETTLED = [2.0, 1.0, 0.6, 0.5, 0.5]


@pytest.fixture
def healthy() -> Observed:
    train, validation, test = rows_of("train", 300), rows_of("validation", 60), rows_of("test", 300)
    return Observed(
        recipe=Recipe(
            name="tone/lora",
            base_model="slmcheck/tiny",
            task="classification",
            trainer="lora",
            data=DataSpec(text_template="Phrase: {phrase}\nTone: {tone}", answer="tone", test=("test.jsonl",)),
            learning_rate=1e-3,
            options={"r": 16, "lora_alpha": 32},
        ),
        splits=Splits(train=train, validation=validation, test=test, labels=LABELS),
        metric="accuracy",
        history=history(FALLING, SETTLED),
        best_step=100,
        last_step=100,
        rows=row_history(train, validation),
        evaluation=answers(test, 0.85),
        train=answers(train, 0.88),
        base=answers(test, 0.5),
        trivial={"majority": always(test, "glad"), "tf-idf": answers(test, 0.7)},
    )
