"""Sessions on the suite of two moods, whose run all tests share."""

from __future__ import annotations

import pytest

from tests.mood import Trained, write_suite
from tests.mood import write_tests as write_tests_below


@pytest.fixture(autouse=True)
def _compiled_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sessions under test keep their compiled modules, so that each starts in a moment."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)


@pytest.fixture
def suite(pytester: pytest.Pytester, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project whose suite finds its run in the store of all tests; training anew would be an error."""
    write_suite(pytester.path / "mood")
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider\n")
    monkeypatch.setenv("SLMCHECK_STORE", str(trained.store))
    return pytester


def write_tests(project: pytest.Pytester, source: str) -> None:
    """Write the suite's test file."""
    write_tests_below(project.path, source)
