"""The shape of the project: what imports what, what is light, what is packaged."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = (
    *("torch", "transformers", "peft", "scipy", "sklearn", "onnxruntime", "onnx", "datasets", "evaluate", "altair"),
    "optuna",
)
OTHER_LIBRARIES = (
    *("accelerate", "huggingface_hub", "jinja2", "onnxscript", "pyarrow", "rouge_score", "sacrebleu", "safetensors"),
    *("tokenizers", "vl_convert", "yaml"),
)
"""Libraries that are imported where they are needed, never at the top of a module that others import."""
OBSERVERS = {"slmcheck_mlflow"}
"""Plugins of pytest that a session names with -p, and that no name of a recipe leads to."""


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


def sources() -> list[Path]:
    """Every module of the package and of the plugins."""
    return sorted(path for root in ("slmcheck", "plugins") for path in (ROOT / root).rglob("*.py"))


def imported_at_the_top(path: Path) -> set[str]:
    """The top-level packages that a module imports when it is imported; annotations alone do not count."""
    return set(_imports(ast.parse(path.read_text()).body))


def _imports(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.If) and ast.unparse(node.test) != "TYPE_CHECKING":
            yield from _imports([*node.body, *node.orelse])
        elif isinstance(node, ast.Try | ast.ClassDef | ast.With):
            yield from _imports(node.body)


def test_a_module_that_loads_a_model_library_says_that_it_is_a_leaf() -> None:
    libraries = {*HEAVY, *OTHER_LIBRARIES}
    silent = [
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if libraries & imported_at_the_top(path)
        and "leaf module" not in (ast.get_docstring(ast.parse(path.read_text())) or "")
    ]
    assert silent == []


@pytest.mark.parametrize("shell", ["pytest_plugin", "cli"])
def test_a_shell_imports_nothing_heavy_at_the_top(shell: str) -> None:
    light = {*sys.stdlib_module_names, "slmcheck", "pytest", ""}
    found = {
        path.name: imported_at_the_top(path) - light
        for path in (ROOT / "slmcheck" / shell).glob("*.py")
        if imported_at_the_top(path) - light
    }
    assert found == {}


def test_scipy_and_sklearn_are_imported_by_no_module_of_the_statistics() -> None:
    folders = ("statistics", "gates", "records", "storage", "recipes")
    allowed = {*sys.stdlib_module_names, "slmcheck", "numpy", "filelock", ""}
    wrong = {
        path.relative_to(ROOT).as_posix(): names
        for folder in folders
        for path in (ROOT / "slmcheck" / folder).rglob("*.py")
        if (names := imported_at_the_top(path) - allowed)
    }
    assert wrong == {}


def test_the_package_imports_no_plugin() -> None:
    plugins = {path.name for path in (ROOT / "plugins").iterdir()}
    assert [
        path for path in sources() if path.is_relative_to(ROOT / "slmcheck") and plugins & imported_at_the_top(path)
    ] == []


def test_every_part_of_the_package_has_a_place_in_the_layers() -> None:
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    placed = {name.strip(" ()") for layer in contract["layers"] for name in layer.split("|")}
    parts = {
        path.stem
        for path in (ROOT / "slmcheck").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem != "__init__"
    }
    assert parts <= placed
    assert contract["exhaustive"] is True


def test_no_module_is_longer_than_its_limit() -> None:
    assert [path.name for path in sources() if len(path.read_text().splitlines()) > 500] == []


def test_every_plugin_folder_is_an_entry_point_and_the_other_way_round() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {
        value.partition(":")[0]
        for group, entries in project["entry-points"].items()
        if group.startswith("slmcheck.")
        for value in entries.values()
    }
    folders = {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists()}
    assert {
        name for name in named if name.partition(".")[0] != "slmcheck"
    } == folders - OBSERVERS  # one exporter is our own


def test_no_folder_of_the_package_is_empty() -> None:
    empty = [
        path
        for path in (ROOT / "slmcheck").rglob("*")
        if path.is_dir() and path.name != "__pycache__" and not any(path.iterdir())
    ]
    assert empty == []
