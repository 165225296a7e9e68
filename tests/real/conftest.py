"""A project of recipes on real public data, and the runs that its tests share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from slmcheck import Run, Store, Workspace, open_recipe
from tests.real.account import Account, account_of

RECIPES = Path(__file__).parent / "recipes"
EMOTIONS = ("anger", "fear", "joy", "sadness", "surprise")
ACCOUNTS = pytest.StashKey[list[Account]]()


@pytest.fixture(scope="session")
def project(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with suites/, data/ and models/; the recipes find the last two two folders up."""
    root = tmp_path_factory.mktemp("real")
    (root / "pytest.ini").write_text("[pytest]\n")
    for name in ("data", "models"):
        (root / name).symlink_to(real_data / name, target_is_directory=True)
    shutil.copytree(RECIPES, root / "suites")
    for split in ("train", "validation", "test"):
        lines = (real_data / "data" / "go_emotions_ekman" / f"{split}.jsonl").read_text("utf-8").splitlines(True)
        chosen = [line for line in lines if json.loads(line)["label"] in EMOTIONS]
        (root / "suites" / "go_emotions" / f"{split}.jsonl").write_text("".join(chosen), "utf-8")
    return root


OpenRun = Callable[[str], Run]


@pytest.fixture(scope="session")
def open_real(project: Path, pytestconfig: pytest.Config) -> Iterator[OpenRun]:
    """The run of a recipe by name, trained where it is opened first; what it took is told when the session ends."""
    workspace = Workspace(root=project, store=Store(project / ".slmcheck" / "store" / "v1"))
    opened: list[Run] = []

    @cache
    def opening(name: str) -> Run:
        opened.append(open_recipe(project / "suites" / f"{name}.yaml", workspace))
        return opened[-1]

    yield opening
    pytestconfig.stash[ACCOUNTS] = [account_of(run) for run in opened]


@pytest.fixture
def reopened(project: Path) -> OpenRun:
    """Opens a run anew where nothing may be trained or predicted."""
    workspace = Workspace(root=project, store=Store(project / ".slmcheck" / "store" / "v1"), offline=True)
    return lambda name: open_recipe(project / "suites" / f"{name}.yaml", workspace)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What each run took and scored, for the notes of a release."""
    for account in config.stash.get(ACCOUNTS, []):
        terminalreporter.section(account.title)
        for line in account.lines:
            terminalreporter.write_line(line)
