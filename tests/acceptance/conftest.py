"""Projects that are driven from outside, as their users do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.acceptance.project import Project
from tests.mood import Trained, write_suite, write_tests

PASSING = """
def test_level(run):
    assert run.accuracy >= 0.05
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with nothing but pytest.ini."""
    return Project.at(tmp_path / "project")


@pytest.fixture
def mood(project: Project, trained: Trained) -> Project:
    """The suite of two moods, with one test, whose run lies in the store."""
    write_suite(project.root / "mood")
    write_tests(project.root, PASSING)
    shutil.copytree(trained.store, project.store_path)
    return project
