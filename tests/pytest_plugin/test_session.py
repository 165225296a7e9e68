"""Sessions of a real suite: what its user sees, however pytest is run."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from tests.mood import Trained, write_suite
from tests.pytest_plugin.conftest import write_tests

PASSING = """
def test_level(run):
    assert run.accuracy >= 0.05

def test_gap(run):
    assert run.gap("accuracy") <= 0.9
"""
FAILING = """
def test_passes(run):
    assert run.accuracy >= 0.0

def test_fails(run):
    assert run.accuracy >= 1.01
"""


def test_a_passing_suite_prints_its_report_and_writes_it(suite: pytest.Pytester) -> None:
    write_tests(suite, PASSING)
    result = suite.runpytest_subprocess("--slm-offline", "mood")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*= slmcheck =*", "*mood/lora*", "report: .slmcheck/reports/*"])
    report = json.loads((suite.path / ".slmcheck" / "reports" / "latest" / "report.json").read_text())
    assert [verdict["state"] for verdict in report["verdicts"]] == ["pass", "pass"]
    assert report["runs"][0]["name"] == "mood/lora"


def test_a_failed_comparison_says_value_interval_and_three_examples(suite: pytest.Pytester) -> None:
    write_tests(suite, FAILING)
    result = suite.runpytest_subprocess("--slm-offline", "mood")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*assert lora.accuracy >= 1.01",
            "E*FAIL  lora.accuracy * < 1.010*95 % CI*n=30",
            "*- slmcheck -*",
            "*prompt:*Text:*",
        ]
    )
    assert sum(line.strip().startswith("reference:") for line in result.outlines) >= 3


def test_the_gate_judges_and_explains_with_assertion_rewriting_off(suite: pytest.Pytester) -> None:
    write_tests(suite, FAILING)
    result = suite.runpytest_subprocess("--slm-offline", "--assert=plain", "mood")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*FAIL  lora.accuracy * < 1.010*"])


def test_the_failure_text_is_not_cut_by_pytest(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    write_tests(suite, FAILING)
    result = suite.runpytest_subprocess("--slm-offline", "mood")
    result.stdout.no_fnmatch_line("*Full output truncated*")


@pytest.mark.parametrize(
    "arguments", [["-q"], ["-qq"], ["-v"], ["--color=yes"], ["-p", "no:terminal"], ["--no-summary"]]
)
def test_the_session_passes_in_every_way_of_showing_it(suite: pytest.Pytester, arguments: list[str]) -> None:
    write_tests(suite, PASSING)
    assert suite.runpytest_subprocess("--slm-offline", *arguments, "mood").ret == 0


def test_selection_by_keyword_and_mark(suite: pytest.Pytester) -> None:
    write_tests(
        suite, "import pytest\n" + FAILING.replace("def test_fails", "@pytest.mark.slm_primary\ndef test_fails")
    )
    suite.runpytest_subprocess("--slm-offline", "-k", "passes", "mood").assert_outcomes(passed=1)
    suite.runpytest_subprocess("--slm-offline", "-m", "not slm_primary", "mood").assert_outcomes(passed=1)


def test_only_the_last_failure_is_run_again(suite: pytest.Pytester) -> None:
    suite.makeini("[pytest]\n")
    write_tests(suite, FAILING)
    suite.runpytest_subprocess("--slm-offline", "mood").assert_outcomes(passed=1, failed=1)
    suite.runpytest_subprocess("--slm-offline", "--lf", "mood").assert_outcomes(failed=1)


def test_stopping_at_the_first_failure_still_writes_the_report(suite: pytest.Pytester) -> None:
    write_tests(suite, FAILING.replace("test_passes", "test_z_passes"))
    result = suite.runpytest_subprocess("--slm-offline", "-x", "mood")
    assert result.ret == 1
    assert (suite.path / ".slmcheck" / "reports" / "latest" / "report.json").is_file()


def test_xdist_judges_every_test_and_reports_once(suite: pytest.Pytester) -> None:
    write_tests(suite, FAILING + PASSING)
    result = suite.runpytest_subprocess("--slm-offline", "-n", "2", "mood")
    result.assert_outcomes(passed=3, failed=1)
    report = json.loads((suite.path / ".slmcheck" / "reports" / "latest" / "report.json").read_text())
    assert sorted(verdict["state"] for verdict in report["verdicts"]) == ["fail", "pass", "pass", "pass"]
    assert len(report["runs"]) == 1


def test_verdicts_stand_in_the_junit_file(suite: pytest.Pytester) -> None:
    write_tests(suite, FAILING)
    suite.runpytest_subprocess("--slm-offline", "--junitxml=junit.xml", "mood")
    cases = ElementTree.parse(suite.path / "junit.xml").getroot().iter("testcase")
    states = {
        case.get("name"): [
            json.loads(found.get("value", ""))["state"]
            for found in case.iter("property")
            if found.get("name") == "slm.verdict"
        ]
        for case in cases
    }
    assert states == {"test_passes[run=lora]": ["pass"], "test_fails[run=lora]": ["fail"]}


def test_a_warm_session_imports_no_model_library(suite: pytest.Pytester) -> None:
    write_tests(suite, PASSING)
    suite.makeconftest(
        "import sys\n"
        "def pytest_unconfigure(config):\n"
        "    heavy = {'torch', 'transformers', 'scipy', 'sklearn', 'onnxruntime', 'peft', 'rouge_score'}\n"
        "    print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    result = suite.runpytest_subprocess("--slm-offline", "mood")
    result.stdout.fnmatch_lines(["heavy: [[]]"])


def test_collecting_trains_nothing_and_prints_the_plan(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLMCHECK_STORE", str(suite.path / "empty"))
    write_tests(suite, "def test_it(run, baseline):\n    assert run.accuracy >= baseline.accuracy - 0.1\n")
    result = suite.runpytest_subprocess("--collect-only", "mood")
    result.stdout.fnmatch_lines(["slmcheck: mood/lora: accuracy: smallest drop visible at 80 % power * points (n=30)*"])
    assert not (suite.path / "empty").exists()


def test_an_offline_miss_is_one_error_and_skips(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLMCHECK_STORE", str(suite.path / "empty"))
    write_tests(suite, FAILING + PASSING)
    result = suite.runpytest_subprocess("--slm-offline", "mood")
    result.assert_outcomes(errors=1, skipped=3)
    result.stdout.fnmatch_lines(["The store has no run of recipe 'mood/lora', and this session is offline."])


def test_a_missing_baseline_fails_and_names_the_command_then_one_is_accepted(
    suite: pytest.Pytester, trained: Trained
) -> None:
    write_tests(suite, "def test_it(run, baseline):\n    assert run.accuracy >= baseline.accuracy - 0.01\n")
    missing = suite.runpytest_subprocess("--slm-offline", "mood")
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["E*There is no baseline 'lora'*", "E*slmcheck baseline accept *"])
    accepted = suite.runpytest_subprocess("--slm-offline", "--slm-accept-baseline", "mood")
    assert accepted.ret == 0
    header = json.loads((suite.path / "mood" / "baselines" / "lora.json").read_text())
    assert header["accepted"]["scores"]["accuracy"][0] == trained.accuracy
    assert suite.runpytest_subprocess("--slm-offline", "mood").ret == 0


def test_no_baseline_is_accepted_when_a_test_failed(suite: pytest.Pytester) -> None:
    write_tests(suite, FAILING)
    suite.runpytest_subprocess("--slm-offline", "--slm-accept-baseline", "mood")
    assert not (suite.path / "mood" / "baselines").exists()


UNDECIDED = """
def test_it(run):
    low, high = sorted([run.accuracy, run.base.accuracy], key=float)
    assert low >= high - (float(high) - float(low) + 0.001)
"""


def test_an_inconclusive_comparison_counts_apart_and_breaks_nothing_in_dev(suite: pytest.Pytester) -> None:
    write_tests(suite, UNDECIDED)
    result = suite.runpytest_subprocess("--slm-offline", "mood")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*1 inconclusive*"])


def test_an_inconclusive_comparison_fails_where_the_ini_file_says_so(suite: pytest.Pytester) -> None:
    suite.makeini("[pytest]\naddopts = -p no:cacheprovider\nslm_inconclusive = fail\n")
    write_tests(suite, UNDECIDED)
    suite.runpytest_subprocess("--slm-offline", "mood").assert_outcomes(failed=1)


def test_a_session_without_the_fixtures_is_untouched(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it():\n    assert True\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*slmcheck =*")
    assert not (pytester.path / ".slmcheck").exists()


def test_a_users_own_fixture_called_run_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n@pytest.fixture\ndef run():\n    return 3\ndef test_it(run):\n    assert run == 3\n"
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_suite_without_a_recipe_is_a_collection_error_that_says_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(run):\n    assert run.accuracy > 0\n")
    result = pytester.runpytest_subprocess()
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*there is no recipe in*", "*slmcheck init NAME --data FILE*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_every_problem_of_a_recipe_is_told_at_collection(suite: pytest.Pytester) -> None:
    recipe = suite.path / "mood" / "lora.yaml"
    recipe.write_text(recipe.read_text().replace("trainer: lora", "trainer: lroa").replace("max_steps", "max_step"))
    write_tests(suite, PASSING)
    result = suite.runpytest_subprocess("mood")
    assert result.ret == 2
    text = result.stdout.str()
    assert "lroa" in text
    assert "Did you mean 'lora'" in text
    assert "max_step" in text


def test_recipes_named_by_the_mark_are_the_only_ones(suite: pytest.Pytester) -> None:
    (suite.path / "mood" / "other.yaml").write_text((suite.path / "mood" / "lora.yaml").read_text())
    write_tests(suite, "import pytest\npytestmark = pytest.mark.slm_run(recipes=['lora.yaml'])\n" + PASSING)
    result = suite.runpytest_subprocess("--collect-only", "-q", "mood")
    result.stdout.fnmatch_lines(["*test_level?run=lora?", "*test_gap?run=lora?", "*2 tests collected*"])


def test_finetune_builds_a_run_inside_a_test(suite: pytest.Pytester) -> None:
    write_tests(suite, "def test_it(finetune):\n    assert finetune('lora.yaml').accuracy >= 0.05\n")
    suite.runpytest_subprocess("--slm-offline", "mood").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("ini", "message"),
    [
        ("slm_alpha = 0.5", "ini value slm_alpha is 0.5; expected 0.001 to 0.2."),
        ("slm_gate = strict", "ini value slm_gate is 'strict'; expected dev or release."),
        ("slm_seed_sd = accuracy", "ini value slm_seed_sd has 'accuracy'; expected metric=number*"),
    ],
)
def test_a_wrong_ini_value_is_a_usage_error(pytester: pytest.Pytester, ini: str, message: str) -> None:
    pytester.makeini(f"[pytest]\n{ini}\n")
    result = pytester.runpytest_subprocess()
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{message}"])


def test_listeners_hear_of_runs_verdicts_and_the_report(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        "def pytest_slmcheck_run_ready(run): print('ready', run.name)\n"
        "def pytest_slmcheck_verdict(verdict): print('verdict', verdict.state)\n"
        "def pytest_slmcheck_report(report): print('report', len(report.verdicts))\n"
    )
    write_tests(suite, PASSING)
    result = suite.runpytest_subprocess("--slm-offline", "-s", "mood")
    for line in ("*ready lora", "*verdict pass*", "*report 2"):
        result.stdout.fnmatch_lines([line])


def test_an_unlike_suite_of_the_same_rows_is_trained_once(suite: pytest.Pytester) -> None:
    write_suite(suite.path / "twin")
    (suite.path / "twin" / "test_twin.py").write_text(PASSING)
    suite.runpytest_subprocess("--slm-offline", "twin").assert_outcomes(passed=2)
