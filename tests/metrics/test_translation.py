from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from slmcheck.gates import ScoreSource
from slmcheck.metrics import Metric, bleu, bleu_score, chrf, chrfpp, measure, ter
from slmcheck.metrics.definition import Statistics
from slmcheck.records import Prediction

sacrebleu = pytest.importorskip("sacrebleu", "2.4")  # compared with 2.6.0

Predict = Callable[..., list[Prediction]]
RealRows = Callable[[str], list[dict[str, str]]]
Value = Callable[[Metric, list[Prediction]], float]
REL = 1e-12
PAIRS = [
    (bleu, lambda: sacrebleu.metrics.BLEU()),
    (bleu_score(tokenize="char"), lambda: sacrebleu.metrics.BLEU(tokenize="char")),
    (bleu_score(lowercase=True), lambda: sacrebleu.metrics.BLEU(lowercase=True)),
    (chrf, lambda: sacrebleu.metrics.CHRF()),
    (chrfpp, lambda: sacrebleu.metrics.CHRF(word_order=2)),
    (ter, lambda: sacrebleu.metrics.TER()),
]


def reference_score(make: Callable[[], object], predictions: list[Prediction]) -> float:
    most = max(len(item.references) for item in predictions)
    streams = [
        [item.references[number] if number < len(item.references) else None for item in predictions]
        for number in range(most)
    ]
    answers = [item.prediction or "" for item in predictions]
    return float(make().corpus_score(answers, streams).score)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda item: getattr(item, "name", ""))
def test_scores_equal_sacrebleu(
    ours: Metric, theirs: Callable[[], object], generated: list[Prediction], value: Value
) -> None:
    assert value(ours, generated) == pytest.approx(reference_score(theirs, generated), rel=REL)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda item: getattr(item, "name", ""))
def test_scores_with_several_references_equal_sacrebleu(
    ours: Metric, theirs: Callable[[], object], with_several_references: list[Prediction], value: Value
) -> None:
    expected = reference_score(theirs, with_several_references)
    assert value(ours, with_several_references) == pytest.approx(expected, rel=REL)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda item: getattr(item, "name", ""))
@pytest.mark.parametrize(
    ("answers", "references"),
    [
        (["the cat sat on the mat"], ["the cat sat on the mat"]),
        (["the cat sat"], ["the cat sat"]),
        (["the cat sat on a mat today"], ["the cat sat on the mat yesterday"]),
        (["dog"], ["cat"]),
        ([""], ["cat"]),
        (["cat"], [""]),
        (["", ""], ["", ""]),
        (["a b c d e f g h"], ["h g f e d c b a"]),
        (["a b c d", "x"], ["a b c d e f", "y z"]),
    ],
)
def test_small_and_odd_texts_equal_sacrebleu(
    ours: Metric,
    theirs: Callable[[], object],
    answers: list[str],
    references: list[str],
    predict: Predict,
    value: Value,
) -> None:
    predictions = predict(answers, references)
    assert value(ours, predictions) == pytest.approx(reference_score(theirs, predictions), rel=REL, abs=1e-300)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda item: getattr(item, "name", ""))
def test_every_resample_equals_sacrebleu(
    ours: Metric, theirs: Callable[[], object], generated: list[Prediction]
) -> None:
    statistics = ours.statistics(generated)
    assert isinstance(statistics, Statistics)
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(generated), np.full(len(generated), 1 / len(generated)), size=20).astype(float)
    values = statistics.value_of_sum(weights @ statistics.per_example)
    assert values.shape == (20,)
    metric = theirs()
    for weight, found in zip(weights, values, strict=True):
        counts = (weight @ statistics.per_example).tolist()
        expected = metric._compute_score_from_stats(  # type: ignore[attr-defined]
            [int(count) if count == int(count) else count for count in counts]
        ).score
        assert found == pytest.approx(expected, rel=REL)


def test_a_missing_answer_is_an_empty_one(predict: Predict, value: Value) -> None:
    missing = predict([None, "a b c d e"], ["x y", "a b c d e"])
    assert value(bleu, missing) == value(bleu, predict(["", "a b c d e"], ["x y", "a b c d e"]))


def test_tokenized_answers_bring_no_warning(predict: Predict, value: Value, caplog: pytest.LogCaptureFixture) -> None:
    value(bleu, predict(["a b c d ."] * 150, ["a b c d ."] * 150))
    assert caplog.records == []


def test_reading_a_stored_score_needs_no_sacrebleu(generated: list[Prediction], source: ScoreSource) -> None:
    import subprocess
    import sys

    score = measure(bleu, generated[:5], source)
    assert score.evidence is not None
    sums = score.evidence.statistics.sum(axis=0).tolist()
    code = (
        "import sys, numpy as np; from slmcheck.metrics import bleu; "
        f"value = float(bleu.value_of_sum(np.array({sums!r}))); "
        "assert 'sacrebleu' not in sys.modules and 'scipy' not in sys.modules; print(repr(value))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(found.stdout) == float(score)


@pytest.mark.real
@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda item: getattr(item, "name", ""))
def test_real_texts_equal_sacrebleu(
    ours: Metric, theirs: Callable[[], object], real_rows: RealRows, predict: Predict, value: Value
) -> None:
    texts = [row["output"] for row in real_rows("instruct_1k")][:80]
    answers = [" ".join(text.split()[: 2 + number % 30]) for number, text in enumerate(texts)]
    predictions = predict(answers, texts)
    assert value(ours, predictions) == pytest.approx(reference_score(theirs, predictions), rel=REL)
