"""slmcheck's pytest plugin: options, hooks and fixtures.

Loaded by every pytest in the environment, so this module imports nothing but pytest and the plugin's own options; all
else is imported when a test first uses one of the fixtures.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from slmcheck.pytest_plugin.options import MARKS, SETTINGS, add_options, read_settings
from slmcheck.pytest_plugin.recorder import EXEMPTED, INCONCLUSIVE, Recorder

if TYPE_CHECKING:
    from slmcheck.evaluation import Baseline, Run
    from slmcheck.pytest_plugin.session import Finetune, Outcome

pytest.register_assert_rewrite("slmcheck.testing")

_OWN_FIXTURES = {"_slm_outcome", "_slm_session"}
"""What every public fixture of the plugin asks for, so that a fixture of the same name in a suite is left alone."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options and ini values."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Announce the hooks that other plugins may implement."""
    from slmcheck.pytest_plugin import hooks

    pluginmanager.add_hookspecs(hooks)


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Set what must be set before torch is loaded."""
    if not getattr(early_config.known_args_namespace, "slm_batch_invariant", False):
        return
    if "torch" in sys.modules:
        raise pytest.UsageError(
            "--slm-batch-invariant came too late: torch is already imported.\n"
            "Remove the import of torch from the plugin or conftest that is loaded first."
        )
    os.environ["MKL_CBWR"] = "AVX512,STRICT"


def pytest_configure(config: pytest.Config) -> None:
    """Validate the settings and register the marks."""
    config.stash[SETTINGS] = read_settings(config)
    for mark in MARKS:
        config.addinivalue_line("markers", mark)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config), "slmcheck-recorder")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of one recipe on one worker, in sessions that ask for slmcheck."""
    if not config.stash[SETTINGS].asked_for:
        return None
    from slmcheck.pytest_plugin.scheduling import make_scheduler

    return make_scheduler(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a recipe, for every test that uses the fixture `run`."""
    if "_slm_outcome" in metafunc.fixturenames:
        from slmcheck.pytest_plugin.collection import parametrize

        parametrize(metafunc)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Check what a release needs before anything is trained."""
    items = [item for item in session.items if uses_runs(item)]
    if items:
        from slmcheck.pytest_plugin.planning import check_session

        check_session(session.config, items)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """The plan line: the smallest drop that each suite can see."""
    used = [item for item in items if uses_runs(item)]
    if not used:
        return []
    from slmcheck.pytest_plugin.collection import note_lines
    from slmcheck.pytest_plugin.planning import plan_lines

    return [*note_lines(config), *plan_lines(config, used)]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Stop the tests of a session that was refused."""
    if uses_runs(item):
        from slmcheck.pytest_plugin.planning import refuse

        refuse(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Record every comparison that the test makes."""
    if not uses_runs(item):
        return (yield)
    from slmcheck.pytest_plugin.judgement import record

    with record(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Add the explanation of failed comparisons to the report of a test; our own frames are no news to its reader."""
    if call.excinfo is not None and uses_runs(item):
        from slmcheck.pytest_plugin.judgement import hide_own_frames

        hide_own_frames(call.excinfo)
    report = yield
    if call.when == "call" and uses_runs(item):
        from slmcheck.pytest_plugin.judgement import explain

        explain(item, report, call.excinfo.value if call.excinfo is not None else None)
    return report


def pytest_assertrepr_compare(config: pytest.Config, op: str, left: object, right: object) -> list[str] | None:
    """The inline explanation of a failed comparison of scores."""
    if "slmcheck.gates" not in sys.modules:
        return None
    from slmcheck.pytest_plugin.judgement import inline

    return inline(op, left, right)


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, Any] | None:
    """Passed tests with an inconclusive comparison count apart, and so do tests that are waived or in quarantine."""
    if getattr(report, "when", None) != "call" or report.failed:
        return None
    exempted = next((str(kind) for name, kind in report.user_properties if name == EXEMPTED), None)
    if exempted is not None:
        return exempted, exempted[0].upper(), (exempted.upper(), {"yellow": True})
    if not report.passed:
        return None
    if any(name == INCONCLUSIVE for name, _ in report.user_properties):
        return "inconclusive", "~", ("INCONCLUSIVE", {"yellow": True})
    return None


def uses_runs(item: pytest.Item) -> bool:
    """Whether a test asks for one of the plugin's fixtures."""
    return not _OWN_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def _slm_outcome(request: pytest.FixtureRequest) -> Iterator[Outcome]:
    """What became of the run of one recipe; never raises, so that a failed training is told once."""
    from slmcheck.pytest_plugin.session import outcome_of

    outcome = outcome_of(request.config, request.param)
    yield outcome
    if outcome.run is not None:
        from slmcheck.evaluation.diagnosing import diagnosis_of

        diagnosis_of(outcome.run, "beside")  # for the report, while the model is in memory


@pytest.fixture
def run(_slm_outcome: Outcome) -> Run:
    """The fine-tuning run of one recipe beside the test file: trained once per content, or read from the store."""
    return _slm_outcome.run_or_skip()


@pytest.fixture
def baseline(run: Run, request: pytest.FixtureRequest) -> Baseline:
    """The accepted scores of the same recipe, from `baselines/` beside the test file."""
    from slmcheck.pytest_plugin.session import baseline_of

    return baseline_of(request, run)


@pytest.fixture(scope="session")
def _slm_session() -> None:
    """Marks the tests that build runs themselves."""


@pytest.fixture
def finetune(request: pytest.FixtureRequest, _slm_session: None) -> Finetune:
    """A function from a recipe, or the path of one relative to the test file, to its run."""
    from slmcheck.pytest_plugin.session import Finetune

    return Finetune(request.config, request.path.parent)
