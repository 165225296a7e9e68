"""The release policy in a session: what must be proven, and what is refused before any training."""

from __future__ import annotations

import pytest

from tests.pytest_plugin.conftest import write_tests

PRIMARY = "import pytest\n@pytest.mark.slm_primary\n"


def test_a_release_without_a_primary_gate_is_a_usage_error_that_names_candidates(suite: pytest.Pytester) -> None:
    write_tests(suite, "def test_level(run):\n    assert run.accuracy >= 0.05\n")
    result = suite.runpytest_subprocess("--slm-offline", "--slm-gate=release", "mood")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*no collected test is marked slm_primary*", "*test_level?run=lora?*"])


def test_a_hopeless_margin_is_refused_with_the_margin_that_can_be_proven(suite: pytest.Pytester) -> None:
    write_tests(suite, PRIMARY + "def test_it(run, baseline):\n    assert run.accuracy >= baseline.accuracy - 0.01\n")
    result = suite.runpytest_subprocess("--slm-offline", "--slm-gate=release", "mood")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*nothing was trained*", "*can prove a margin of*", "*--slm-underpowered"])


def test_a_refused_release_is_told_once_under_xdist(suite: pytest.Pytester) -> None:
    write_tests(
        suite,
        PRIMARY
        + "def test_it(run, baseline):\n    assert run.accuracy >= baseline.accuracy - 0.01\n"
        + "def test_other(run):\n    assert run.accuracy >= 0.05\n",
    )
    result = suite.runpytest_subprocess("--slm-offline", "--slm-gate=release", "-n", "2", "mood")
    result.assert_outcomes(errors=1, skipped=1)


def test_an_unproven_primary_level_fails_a_release_and_passes_in_dev(suite: pytest.Pytester) -> None:
    write_tests(suite, PRIMARY + "def test_it(run):\n    assert run.accuracy >= float(run.accuracy)\n")
    suite.runpytest_subprocess("--slm-offline", "mood").assert_outcomes(passed=1)
    result = suite.runpytest_subprocess("--slm-offline", "--slm-gate=release", "mood")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*this claim must be proven, and it is not*"])


def test_a_proven_primary_level_is_released(suite: pytest.Pytester) -> None:
    write_tests(suite, PRIMARY + "def test_it(run):\n    assert run.accuracy >= 0.01\n")
    suite.runpytest_subprocess("--slm-offline", "--slm-gate=release", "mood").assert_outcomes(passed=1)


def test_a_release_of_rows_that_selected_the_checkpoint_fails(suite: pytest.Pytester) -> None:
    recipe = suite.path / "mood" / "lora.yaml"
    recipe.write_text(recipe.read_text().replace("  test: test.jsonl\n", ""))
    write_tests(suite, PRIMARY + "def test_it(run):\n    assert run.accuracy >= 0.0\n")
    result = suite.runpytest_subprocess("--slm-gate=release", "mood")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*selected on these rows*"])
