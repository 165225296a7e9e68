"""Does the fine-tuned model give the help desk's answer?

Ten questions of the training rows lead to each answer; the questions of the test rows are new wordings. Beside each
threshold stands what this recipe reached, with its 95 % interval.
"""

from collections.abc import Sequence

import pytest

import slmcheck
from slmcheck import Baseline, Prediction, Run


@slmcheck.metric(unit="share", version=1, needs=("generate",))
def ended(predictions: Sequence[Prediction]) -> list[float]:
    """Share of answers that end by themselves rather than at the length limit."""
    return [float(bool(prediction.finished)) for prediction in predictions]


def test_rouge(run: Run) -> None:
    assert run.rougeL >= 0.40  # 0.500, 0.431 .. 0.570


def test_bleu(run: Run) -> None:
    assert run.bleu >= 30  # 47.8, 40.3 .. 55.3


def test_beats_the_base_model(run: Run) -> None:
    assert run.rougeL > run.base.rougeL


def test_answers_end(run: Run) -> None:
    assert run.measure(ended) >= 0.95  # 1.000, 0.977 .. 1.000


@pytest.mark.slm_primary
def test_rouge_did_not_drop(run: Run, baseline: Baseline) -> None:
    assert run.rougeL >= baseline.rougeL - 0.25  # three seeds reached 0.500, 0.398 and 0.487
