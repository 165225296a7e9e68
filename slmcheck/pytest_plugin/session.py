"""The runs of this process: opened once a recipe, failed once a session."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from slmcheck import recipes
from slmcheck.errors import SlmcheckError
from slmcheck.evaluation import Baseline, Run
from slmcheck.pytest_plugin.collection import recipe_at
from slmcheck.pytest_plugin.concealing import said
from slmcheck.pytest_plugin.options import SETTINGS
from slmcheck.pytest_plugin.progress import progress_for, tell_for
from slmcheck.records import Recipe
from slmcheck.storage import Store, digest
from slmcheck.workspace import Workspace

_WORKSPACE = pytest.StashKey[Workspace]()
_OUTCOMES = pytest.StashKey["dict[Path, Outcome]"]()
_SESSION = pytest.StashKey[str]()


def workspace_of(config: pytest.Config) -> Workspace:
    """The workspace of the session, made on first use."""
    if _WORKSPACE not in config.stash:
        settings = config.stash[SETTINGS]
        config.stash[_WORKSPACE] = Workspace(
            root=config.rootpath,
            store=Store.locate(
                config.rootpath, verify=settings.gate == "release", is_release=settings.gate == "release"
            ),
            device=settings.device,
            offline=settings.offline,
            retrain=settings.retrain,
            same_environment=settings.same_environment,
            batch_invariant=settings.batch_invariant,
            on_progress=progress_for(config),
        )
    return config.stash[_WORKSPACE]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one recipe in this session: a run, or the message of a failure."""

    recipe_path: Path
    run: Run | None = None
    failure: str = ""
    config: pytest.Config

    def run_or_skip(self) -> Run:
        """The run; where it failed, the first test of the session fails with the message and the others skip."""
        if self.run is not None:
            return self.run
        store, name = workspace_of(self.config).store, self.recipe_path.stem
        if store.claim_failure(session_id(self.config), _failure_key(self.recipe_path), self.failure):
            pytest.fail(self.failure, pytrace=False)
        pytest.skip(f"run '{name}' failed; another test of this session shows why")


def outcome_of(config: pytest.Config, path: Path) -> Outcome:
    """The outcome of a recipe file: its run from the store or trained now; never raises for a failure of the run."""
    outcomes = config.stash.setdefault(_OUTCOMES, {})
    if path not in outcomes:
        outcomes[path] = _open(config, path)
    return outcomes[path]


def _open(config: pytest.Config, path: Path) -> Outcome:
    workspace = workspace_of(config)
    failed_already = workspace.store.read_failure(session_id(config), _failure_key(path))
    if failed_already is not None:
        return Outcome(recipe_path=path, failure=failed_already, config=config)
    try:
        run = _trained(config, recipes.load(path))
    except SlmcheckError as error:
        message = said(error, recipe_at(config, path))
        workspace.store.record_failure(session_id(config), _failure_key(path), message)
        return Outcome(recipe_path=path, failure=message, config=config)
    config.hook.pytest_slmcheck_run_ready(run=run)
    return Outcome(recipe_path=path, run=run, config=config)


def _trained(config: pytest.Config, recipe: Recipe) -> Run:
    """The run of a recipe, its search and its seeds carried out where they are missing."""
    from slmcheck.studies import Trainings, open_recipe

    trainings = Trainings(workspace=workspace_of(config), tell=tell_for(config))
    return open_recipe(recipe, trainings, seeds=config.stash[SETTINGS].seeds)


def session_id(config: pytest.Config) -> str:
    """One name for the session in all its processes."""
    if _SESSION not in config.stash:
        config.stash[_SESSION] = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
    return config.stash[_SESSION]


def _failure_key(path: Path) -> str:
    return digest("failure", str(path))


def baseline_of(request: pytest.FixtureRequest, run: Run) -> Baseline:
    """The baseline of a run, from the folder `baselines` beside the test file."""
    return Baseline.of(run, request.path.parent)


class Finetune:
    """A function from a recipe to its run, for tests that build their own runs."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config = config
        self._folder = folder

    def __call__(self, recipe: Recipe | Path | str) -> Run:
        """The run of a recipe, or of a recipe file relative to the test file; trained once per content."""
        if isinstance(recipe, Recipe):
            return _trained(self._config, recipe)
        return outcome_of(self._config, (self._folder / recipe).resolve()).run_or_skip()
