"""The reference pages are those that the code makes, and leave nothing out."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from types import ModuleType

import pytest

import slmcheck
from slmcheck.metrics import METRICS
from slmcheck.pytest_plugin import hooks
from slmcheck.pytest_plugin.options import MARKS, add_options
from tests.docs.reading import ROOT

FOLDER = ROOT / "docs" / "reference"


@cache
def load_script(name: str) -> ModuleType:
    """A module of scripts/."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["pytest.md", "metrics.md", "api.md"])
def test_the_page_is_what_the_code_says(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == load_script("reference").pages()[name], "write it anew: python scripts/reference.py"


def test_every_option_ini_value_mark_fixture_and_hook_is_documented() -> None:
    page = (FOLDER / "pytest.md").read_text(encoding="utf-8")
    parser = load_script("reference").RecordingParser()
    add_options(parser)
    names = [name for name, _ in parser.options] + [name for name, _, _ in parser.inis]
    names += [mark.partition(": ")[0] for mark in MARKS]
    names += [name for name in vars(hooks) if name.startswith("pytest_")]
    assert len(names) > 15
    assert [name for name in (*names, "run", "baseline", "finetune") if f"`{name}" not in page] == []
    assert all(settings.get("help") for _, settings in parser.options)


def test_every_metric_is_documented_with_a_meaning() -> None:
    page = (FOLDER / "metrics.md").read_text(encoding="utf-8")
    for task, metrics in METRICS.items():
        assert f"## {task}\n" in page
        assert [name for name in metrics if f"| `{name}` |" not in page] == []
        assert [name for name, metric in metrics.items() if not metric.description] == []


def test_every_public_name_is_documented() -> None:
    page = (FOLDER / "api.md").read_text(encoding="utf-8")
    names = set(slmcheck.__all__) - {"__version__"}
    assert [name for name in sorted(names) if f"### {name}\n" not in page] == []


def test_every_explained_name_has_a_docstring() -> None:
    bare = [name for name in slmcheck.__all__ if name != "__version__" and not getattr(slmcheck, name).__doc__]
    assert bare == []


def test_no_public_name_is_that_of_a_package() -> None:
    packages = {path.name for path in (ROOT / "slmcheck").iterdir() if path.is_dir()}
    assert packages.isdisjoint(slmcheck.__all__)
