"""What a built wheel holds. Building asks the package index for the build backend."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
TOP = {"slmcheck", *(path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists())}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel built from this checkout."""
    target = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(target), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0 and "hatchling" in built.stderr:
        pytest.skip("the build backend hatchling cannot be fetched: no package index is reachable")
    assert built.returncode == 0, built.stderr
    (wheel,) = target.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_nothing_but_the_package_and_its_plugins_is_at_the_top(names: list[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == TOP


def test_every_file_that_the_package_reads_is_there(names: list[str]) -> None:
    packaged = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "slmcheck").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packaged - set(names) == set()
    suites = {
        f"slmcheck/shipped_suites/{path.relative_to(ROOT / 'suites').as_posix()}"
        for path in (ROOT / "suites").rglob("*")
        if path.is_file() and not {"__pycache__", ".slmcheck", ".pytest_cache"} & set(path.parts)
    }
    assert suites - set(names) == set()
    assert "slmcheck/py.typed" in names


def test_nothing_that_was_computed_here_is_there(names: list[str]) -> None:
    made = {"__pycache__", ".slmcheck", ".pytest_cache", ".hypothesis", ".mypy_cache"}
    assert [name for name in names if made & set(PurePosixPath(name).parts) or name.endswith(".pyc")] == []
    assert [name for name in names if PurePosixPath(name).parts[0] == "tests"] == []


def test_the_licence_is_in_it(names: list[str]) -> None:
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
