"""A failed parity gate says where the export departs; a green one locates nothing."""

from __future__ import annotations

import json

import pytest

from tests.pytest_plugin.conftest import write_tests

pytestmark = pytest.mark.slow

TESTS = """
def test_green(run):
    assert run.onnx("fp32").agreement >= 0.5

def test_red(run):
    assert run.onnx("fp32").agreement >= 1.01
"""


def test_a_failed_gate_carries_the_location_to_text_page_and_command(suite: pytest.Pytester) -> None:
    write_tests(suite, TESTS)
    result = suite.runpytest_subprocess("mood", "-k", "green")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*departs*")
    result = suite.runpytest_subprocess("mood", "--slm-report", "out")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "where lora.onnx(fp32) departs: Every weight and all * places agree with PyTorch*",
            "  next: slmcheck parity mood/lora --precision fp32 --locate",
            "*Located*fp32: Every weight*",
        ]
    )
    page = (suite.path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Where the fp32 export departs" in page
    assert "model.layers.0.self_attn.o_proj (input)" in page
    told = suite.run("slmcheck", "parity", "mood/lora", "--metric", "agreement", "--locate", "--json")
    location = json.loads(told.stdout.str())["location"]
    assert location["outcome"] == "agrees"
    assert {error["layer"] for error in location["errors"]} >= {0, 1, None}
    shown = suite.run("slmcheck", "parity", "mood/lora", "--metric", "agreement", "--locate")
    shown.stdout.fnmatch_lines(["where it departs", "*isolated*▁*", "*weights: * parameters equal bit for bit"])
