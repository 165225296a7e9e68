"""The shape of the project: what imports what, what is light, what is packaged."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "peft", "scipy", "sklearn", "onnxruntime", "onnx", "datasets", "evaluate", "altair")


def loaded_after(code: str) -> set[str]:
    """The heavy libraries that a fresh interpreter has loaded after running some code."""
    listing = f"{code}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(eval(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module",
    ["slmcheck", "slmcheck.pytest_plugin", "slmcheck.cli", "slmcheck.evaluation", "slmcheck.reports", "slmcheck.gates"],
)
def test_importing_it_loads_no_model_library(module: str) -> None:
    assert loaded_after(f"import {module}") == set()


def test_help_loads_no_model_library() -> None:
    code = "from slmcheck.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    assert loaded_after(code) == set()


def test_collecting_the_shipped_suites_loads_no_model_library() -> None:
    code = "import pytest\npytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider', 'suites'])"
    assert loaded_after(code) == set()


def test_the_plugin_module_loads_nothing_but_pytest_and_its_own_light_modules() -> None:
    code = "import pytest, sys\nbefore = set(sys.modules)\nimport slmcheck.pytest_plugin\n"
    code += "print(sorted(n.partition('.')[0] for n in set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    new = set(eval(result.stdout.splitlines()[-1])) - set(sys.stdlib_module_names)
    assert new == {"slmcheck"}


def test_every_plugin_folder_is_an_entry_point_and_the_other_way_round() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {
        value.partition(":")[0]
        for group, entries in project["entry-points"].items()
        if group.startswith("slmcheck.")
        for value in entries.values()
    }
    folders = {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists()}
    assert named == folders


def test_no_folder_of_the_package_is_empty() -> None:
    empty = [
        path
        for path in (ROOT / "slmcheck").rglob("*")
        if path.is_dir() and path.name != "__pycache__" and not any(path.iterdir())
    ]
    assert empty == []
