from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.metrics import Metric, rouge1, rouge2, rouge_score, rougeL, rougeLsum
from slmcheck.metrics.rouge import longest_common_subsequence, tokens_of
from slmcheck.records import Prediction

rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")  # compared with rouge-score 0.1.2

Predict = Callable[..., list[Prediction]]
RealRows = Callable[[str], list[dict[str, str]]]
Value = Callable[[Metric, list[Prediction]], float]
METRICS = [rouge1, rouge2, rougeL, rougeLsum]


def reference_values(kind: str, predictions: list[Prediction], *, stemmer: bool = False) -> list[float]:
    scorer = rouge_scorer.RougeScorer([kind], use_stemmer=stemmer)
    return [scorer.score_multi(list(item.references), item.prediction or "")[kind].fmeasure for item in predictions]


def values_of(metric: Metric, predictions: list[Prediction]) -> list[float]:
    statistics = metric.statistics(predictions)
    assert not isinstance(statistics, float)
    return statistics.per_example[:, 0].tolist()


def test_by_hand(predict: Predict, value: Value) -> None:
    predictions = predict(["the cat sat"], ["The cat: sat down!"])
    assert value(rouge1, predictions) == pytest.approx(2 * 3 / (3 + 4))
    assert value(rouge2, predictions) == pytest.approx(2 * 2 / (2 + 3))
    assert value(rougeL, predictions) == pytest.approx(2 * 3 / (3 + 4))


def test_rouge_l_wants_the_order(predict: Predict, value: Value) -> None:
    assert value(rougeL, predict(["a b c"], ["c b a"])) == pytest.approx(1 / 3)
    assert value(rouge1, predict(["a b c"], ["c b a"])) == 1.0


def test_rouge_lsum_looks_at_lines(predict: Predict, value: Value) -> None:
    predictions = predict(["c d\na b"], ["a b\nc d"])
    assert value(rougeL, predictions) == 0.5
    assert value(rougeLsum, predictions) == 1.0


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_value_equals_rouge_score(metric: Metric, generated: list[Prediction]) -> None:
    assert values_of(metric, generated) == reference_values(metric.name, generated)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_best_of_several_references_counts(metric: Metric, with_several_references: list[Prediction]) -> None:
    assert values_of(metric, with_several_references) == reference_values(metric.name, with_several_references)


@pytest.mark.parametrize("kind", ["rouge1", "rougeL", "rougeLsum"])
def test_stemmed_values_equal_rouge_score(kind: str, generated: list[Prediction]) -> None:
    found = values_of(rouge_score(kind, stemmer=True), generated)  # type: ignore[arg-type]
    assert found == reference_values(kind, generated, stemmer=True)


@given(answer=st.text(alphabet="ab c\nÄé.İ1", max_size=12), reference=st.text(alphabet="ab c\nÄé.İ1", max_size=12))
def test_odd_texts_equal_rouge_score(answer: str, reference: str) -> None:
    predictions = [Prediction(id="1", prediction=answer, references=(reference,))]
    for metric in METRICS:
        assert values_of(metric, predictions) == reference_values(metric.name, predictions)


@given(first=st.lists(st.sampled_from("abcd"), max_size=80), second=st.lists(st.sampled_from("abcd"), max_size=80))
def test_longest_common_subsequence_equals_the_table(first: list[str], second: list[str]) -> None:
    table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for row, word in enumerate(first):
        for column, other in enumerate(second):
            same = table[row, column] + 1
            table[row + 1, column + 1] = same if word == other else max(table[row, column + 1], table[row + 1, column])
    assert longest_common_subsequence(first, second) == table[-1, -1]


def test_a_missing_answer_scores_nothing(predict: Predict, value: Value) -> None:
    assert value(rouge1, predict([None, "a"], ["a", "a"])) == 0.5


def test_tokens_are_lower_case_letters_and_digits() -> None:
    assert tokens_of("Don't_pay £20.50, Zoë!") == ["don", "t", "pay", "20", "50", "zo"]


def test_measuring_rouge_imports_no_scipy() -> None:
    code = (
        "import sys; from slmcheck.metrics import rougeLsum, rouge1; from slmcheck.records import Prediction; "
        "rouge1.statistics([Prediction(id='1', prediction='a b', references=('a',))]); "
        "print([name for name in ('scipy', 'nltk', 'rouge_score', 'sacrebleu') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"


@pytest.mark.real
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_real_texts_equal_rouge_score(metric: Metric, real_rows: RealRows) -> None:
    rows = real_rows("instruct_1k")
    texts = [row["output"] for row in rows][:100]
    predictions = [
        Prediction(id=str(number), prediction=texts[(number * 3) % len(texts)] + "\n" + text[:50], references=(text,))
        for number, text in enumerate(texts)
    ]
    assert values_of(metric, predictions) == reference_values(metric.name, predictions)
