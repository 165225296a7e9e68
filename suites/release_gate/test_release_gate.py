"""A complete release gate of one recipe: the example to copy.

Under `--slm-gate=release` the tests marked slm_primary must prove their claim; all others turn red on evidence. The
margins are what 300 messages can prove of an unchanged model; `slmcheck plan suites/release_gate` shows it.
"""

import pytest

from slmcheck import Baseline, Run


@pytest.mark.slm_primary
def test_routes_well_enough(run: Run) -> None:
    assert run.accuracy >= 0.65  # 0.747, 0.695 .. 0.793


@pytest.mark.slm_primary
def test_accuracy_did_not_drop(run: Run, baseline: Baseline) -> None:
    assert run.accuracy >= baseline.accuracy - 0.08  # three seeds reached 0.747, 0.757 and 0.733


def test_no_team_is_neglected(run: Run) -> None:
    assert run.f1 >= 0.65  # 0.748, 0.696 .. 0.794


def test_beats_the_base_model(run: Run) -> None:
    assert run.accuracy > run.base.accuracy


@pytest.mark.parametrize("channel", ["chat", "email"])
def test_every_channel(run: Run, channel: str) -> None:
    assert run.slice(channel).accuracy >= 0.60  # chat 0.790, 0.700 .. 0.858; email 0.730, 0.636 .. 0.807


def test_likelihood_did_not_drop(run: Run, baseline: Baseline) -> None:
    assert run.perplexity <= baseline.perplexity * 1.10


def test_does_not_overfit(run: Run) -> None:
    assert run.gap("accuracy") - run.base.gap("accuracy") <= 0.35  # 0.243, 0.176 .. 0.311


def test_onnx_gives_the_same_answers(run: Run) -> None:
    assert run.onnx("fp32").agreement >= 0.99  # 1.000, 0.988 .. 1.000


def test_onnx_computes_the_same_logits(run: Run) -> None:
    assert run.onnx("fp32").logit_max <= 1e-4  # 1e-5; the smallest fault seen moves logits by 1.5e-4 of their spread
