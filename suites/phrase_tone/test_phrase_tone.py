"""Does the fine-tuned model hear the tone of a phrase?

Beside each threshold stands what this recipe reached, with its 95 % interval.
"""

import pytest

from slmcheck import Baseline, Run


def test_accuracy(run: Run) -> None:
    assert run.accuracy >= 0.60  # 0.657, 0.611 .. 0.701


def test_every_tone_is_heard(run: Run) -> None:
    assert run.f1 >= 0.58  # 0.645, 0.599 .. 0.688


def test_beats_the_base_model(run: Run) -> None:
    assert run.accuracy > run.base.accuracy


def test_short_phrases(run: Run) -> None:
    assert run.slice("short").accuracy >= 0.50  # 0.733, 0.556 .. 0.858


def test_does_not_overfit(run: Run) -> None:
    assert run.gap("accuracy") <= 0.30  # 0.207, 0.150 .. 0.262


@pytest.mark.slm_primary
def test_accuracy_did_not_drop(run: Run, baseline: Baseline) -> None:
    assert run.accuracy >= baseline.accuracy - 0.17  # three seeds reached 0.657, 0.683 and 0.731
