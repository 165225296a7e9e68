"""Names of runs, and the project root by pytest's rule."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from slmcheck.errors import UnknownRunError
from slmcheck.evaluation.naming import find_named, project_root, recipe_paths
from slmcheck.storage import Store

RECIPE = "base_model: slmcheck/tiny\ntrainer: lora\ntask: generation\n"

LAYOUTS = {
    "pyproject with tool.pytest": {"pyproject.toml": "[tool.pytest]\ntestpaths = ['tests']\n"},
    "pyproject with ini_options": {"pyproject.toml": "[tool.pytest.ini_options]\n"},
    "pyproject of another tool": {"pyproject.toml": "[tool.ruff]\n", "suites/setup.py": ""},
    "pytest.ini": {"pytest.ini": ""},
    "pytest.ini below a configured pyproject": {
        "pyproject.toml": "[tool.pytest.ini_options]\n",
        "suites/pytest.ini": "",
    },
    "tox.ini with a section": {"tox.ini": "[pytest]\n"},
    "tox.ini without a section": {"tox.ini": "[tox]\n"},
    "setup.cfg": {"setup.cfg": "[tool:pytest]\n"},
    "setup.py": {"setup.py": ""},
    "pyproject in one suite, pytest.ini in the other": {"suites/one/pyproject.toml": "", "suites/two/pytest.ini": ""},
    "nothing": {},
}
INVOCATIONS = {
    "from the project": (".", ["suites"]),
    "from a suite": ("suites/one", []),
    "two suites": (".", ["suites/one", "suites/two"]),
    "another suite": ("suites/one", ["../two"]),
    "a file": (".", ["suites/one/test_one.py"]),
    "nothing named": (".", []),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for suite in ("one", "two"):
        (root / "suites" / suite).mkdir(parents=True)
        (root / "suites" / suite / f"test_{suite}.py").write_text("def test_it(): pass\n")
    return root


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_project_root_is_the_rootdir_of_pytest(project: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in LAYOUTS[layout].items():
        (project / name).write_text(text)
    for folder, arguments in INVOCATIONS.values():
        here = project / folder
        monkeypatch.chdir(here)
        assert project_root([Path(item) for item in arguments]) == _rootdir(here, arguments), arguments


def _rootdir(here: Path, arguments: list[str]) -> Path:
    """pytest's own function, which `test_pytest_prints_the_same_root` compares with what pytest prints."""
    from _pytest.config.findpaths import determine_setup

    return determine_setup(inifile=None, override_ini=None, args=arguments, rootdir_cmd_arg=None, invocation_dir=here)[
        0
    ]


def test_pytest_prints_the_same_root(project: Path) -> None:
    (project / "tox.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", "suites/one"]
    printed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout
    found = re.search(r"^rootdir: (.*)$", printed, re.MULTILINE)
    assert found is not None
    assert Path(found[1]) == project_root([Path("suites/one")], cwd=project)


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the runs one/lora, one/full and two/lora."""
    for name in ("one/lora", "one/full", "two/lora"):
        path = tmp_path / "suites" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_recipes_are_found_but_not_in_hidden_folders_environments_and_baselines(suites: Path) -> None:
    for folder in (".hidden", "env", "suites/one/baselines"):
        (suites / folder).mkdir()
        (suites / folder / "other.yaml").write_text(RECIPE)
    (suites / "env" / "pyvenv.cfg").touch()
    (suites / "settings.yaml").write_text("name: no recipe\n")
    assert [str(path.relative_to(suites / "suites")) for path in recipe_paths(suites)] == [
        "one/full.yaml",
        "one/lora.yaml",
        "two/lora.yaml",
    ]


@pytest.mark.parametrize("text", ["suites/one/full.yaml", "one/full", "full"])
def test_a_run_is_a_path_a_name_or_a_unique_stem(suites: Path, text: str) -> None:
    found = find_named(text, suites, Store.locate(suites))
    assert found.recipe_path == Path("suites/one/full.yaml")


def test_a_stem_of_several_suites_lists_them(suites: Path) -> None:
    with pytest.raises(UnknownRunError, match=r"'lora' names 2 recipes: one/lora, two/lora"):
        find_named("lora", suites, Store.locate(suites))


def test_two_folders_of_one_name_ask_for_the_path(suites: Path) -> None:
    (suites / "old" / "one").mkdir(parents=True)
    (suites / "old" / "one" / "full.yaml").write_text(RECIPE)
    with pytest.raises(UnknownRunError, match=r"old/one/full.yaml, suites/one/full.yaml"):
        find_named("one/full", suites, Store.locate(suites))


def test_an_unknown_name_lists_the_recipes_and_guesses(suites: Path) -> None:
    with pytest.raises(UnknownRunError, match=r"one/full, one/lora, two/lora. Did you mean 'two/lora'"):
        find_named("two/lroa", suites, Store.locate(suites))


def test_a_missing_recipe_file_is_said(suites: Path) -> None:
    with pytest.raises(UnknownRunError, match=r"There is no recipe file 'suites/one/qlora.yaml'"):
        find_named("suites/one/qlora.yaml", suites, Store.locate(suites))


def test_a_key_of_no_stored_run_is_unknown(suites: Path) -> None:
    with pytest.raises(UnknownRunError, match="No run is called 'abcdef12'"):
        find_named("abcdef12", suites, Store.locate(suites))
