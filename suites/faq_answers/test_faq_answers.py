"""Does the fine-tuned model give the help desk's answer?

Several questions lead to one answer; the test questions are new wordings. The measured value and its 95 % interval stand
beside each threshold.
"""

from slmcheck import Baseline, Run


def test_rouge(run: Run) -> None:
    assert run.rougeL >= 0.40


def test_bleu(run: Run) -> None:
    assert run.bleu >= 30


def test_beats_the_base_model(run: Run) -> None:
    assert run.rougeL > run.base.rougeL


def test_answers_end(run: Run) -> None:
    assert run.finished >= 0.95


def test_rouge_did_not_drop(run: Run, baseline: Baseline) -> None:
    assert run.rougeL >= baseline.rougeL - 0.08
