from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from slmcheck.errors import UndefinedScoreError
from slmcheck.metrics import Metric, brier, ece
from slmcheck.records import Prediction

sklearn = pytest.importorskip("sklearn", "1.7")  # Brier of several classes is new in 1.7; compared with 1.9.1

Value = Callable[[Metric, list[Prediction]], float]


def rows(probabilities: list[tuple[float, ...]], references: list[str], options: tuple[str, ...]) -> list[Prediction]:
    return [
        Prediction(
            id=f"e{number:03}",
            prediction=options[int(np.argmax(values))],
            references=(reference,),
            options=options,
            option_probabilities=values,
        )
        for number, (values, reference) in enumerate(zip(probabilities, references, strict=True))
    ]


def random_rows(options: tuple[str, ...], count: int) -> list[Prediction]:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(len(options), 0.5), size=count)
    references = [options[rng.choice(len(options), p=row)] for row in probabilities]
    return rows([tuple(row.tolist()) for row in probabilities], references, options)


def test_brier_by_hand(value: Value) -> None:
    assert value(brier, rows([(0.9, 0.1), (0.4, 0.6)], ["a", "a"], ("a", "b"))) == pytest.approx((0.1**2 + 0.6**2) / 2)
    assert value(brier, rows([(0.5, 0.3, 0.2)], ["b"], ("a", "b", "c"))) == pytest.approx(0.25 + 0.49 + 0.04)


@pytest.mark.parametrize("options", [("ham", "spam"), ("a", "b", "c", "d")])
def test_brier_equals_scikit_learn(options: tuple[str, ...], value: Value) -> None:
    from sklearn.metrics import brier_score_loss

    predictions = random_rows(options, 400)
    references = [item.reference for item in predictions]
    table = np.array([item.option_probabilities for item in predictions])
    if len(options) == 2:
        expected = brier_score_loss(references, table[:, 1], pos_label=options[1])
    else:
        expected = brier_score_loss(references, table, labels=list(options))
    assert value(brier, predictions) == pytest.approx(expected, rel=1e-12)


def test_ece_by_hand(value: Value) -> None:
    # .9 twice, one right: |1.8 - 1| / 2; and .6 once, right: |.6 - 1|.
    predictions = rows([(0.9, 0.1), (0.9, 0.1), (0.6, 0.4)], ["a", "b", "a"], ("a", "b"))
    assert value(ece, predictions) == pytest.approx((0.8 + 0.4) / 3)


def test_bins_are_closed_above(value: Value) -> None:
    # .6 and .61 lie in two bins: over- and underconfidence do not cancel.
    predictions = rows([(0.6, 0.4), (0.61, 0.39)], ["a", "b"], ("a", "b"))
    assert value(ece, predictions) == pytest.approx((0.4 + 0.61) / 2)


def test_a_perfectly_calibrated_model_has_an_ece_of_its_sample(value: Value) -> None:
    assert 0.0 < value(ece, random_rows(("a", "b", "c"), 2000)) < 0.05


@pytest.mark.parametrize("metric", [brier, ece], ids=lambda metric: metric.name)
def test_predictions_without_probabilities_are_undefined(metric: Metric, value: Value) -> None:
    lacking = [Prediction(id="1", prediction="a", references=("a",), options=("a", "b"))]
    with pytest.raises(UndefinedScoreError, match=r"the probability of each option .* is missing in 1 of 1"):
        value(metric, lacking)


@pytest.mark.parametrize("metric", [brier, ece], ids=lambda metric: metric.name)
def test_a_reference_that_is_no_option_is_undefined(metric: Metric, value: Value) -> None:
    with pytest.raises(UndefinedScoreError, match="The reference 'c' of example e000 is none of its options"):
        value(metric, rows([(0.5, 0.5)], ["c"], ("a", "b")))


def test_ece_is_for_reports() -> None:
    assert (ece.info.interval, ece.info.paired) == ("none", "none")
