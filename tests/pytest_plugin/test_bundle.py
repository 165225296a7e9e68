"""A bundle of a trained run: adapter, base model, gap, slice and baseline."""

from __future__ import annotations

import json
import sys

import pytest

from slmcheck.evaluation.verifying import verify_bundle
from slmcheck.reports.archive import files_of
from tests.pytest_plugin.conftest import write_tests

TESTS = """
import slmcheck
from slmcheck import Prediction

@slmcheck.metric(unit="share", version=1)
def short_answers(predictions):
    return [float(len(found.prediction or "") < 9) for found in predictions]

def test_level(run):
    assert run.accuracy >= 0.05
    assert run.f1 >= 0.0

def test_base(run):
    assert run.accuracy >= run.base.accuracy - 0.9

def test_gap(run):
    assert run.gap("accuracy") <= 0.9
    assert run.gap("accuracy") - run.base.gap("accuracy") <= 0.9

def test_slice(run):
    assert run.slice("early").accuracy >= 0.0
    assert run.slice("early").accuracy >= run.accuracy - 0.9

def test_custom(run):
    assert run.measure(short_answers) >= 0.5
"""


def test_every_verdict_and_score_of_a_trained_run_is_computed_again(suite: pytest.Pytester) -> None:
    write_tests(suite, TESTS)
    suite.runpytest_subprocess("--slm-offline", "mood").assert_outcomes(passed=5)
    result = suite.run(sys.executable, "-c", "from slmcheck.cli import main; raise SystemExit(main())", "report",
                       "latest", "--format", "bundle", "--output", "bundle.tar")  # fmt: skip
    assert result.ret == 0
    path = suite.path / "bundle.tar"
    found = verify_bundle(path)
    assert found.altered == ()
    assert found.verdicts == 8
    assert [name for name in found.not_recomputed if "trivial" not in name] == []
    files = files_of(path.read_bytes(), "bundle")
    report = json.loads(files["report.json"])
    (run,) = report["runs"]
    assert run["base_scores"]
    assert run["gaps"]
    assert found.scores >= len(run["scores"]) + len(run["base_scores"]) + len(run["gaps"])
    names = [item["name"] for item in json.loads(files["statement.json"])["subject"]]
    assert any(name.startswith("mood/lora/") and name.endswith(".safetensors") for name in names)
