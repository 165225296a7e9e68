"""The run keys of suites: what a CI cache carries, what upkeep keeps, why two of them differ."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from slmcheck import pipeline, recipes
from slmcheck.data import load_splits
from slmcheck.errors import InputError, UnknownRunError
from slmcheck.evaluation.baseline import FOLDER
from slmcheck.evaluation.naming import look_up, may_hold_recipes, recipe_paths
from slmcheck.evaluation.searched import settled
from slmcheck.records import Json, Recipe
from slmcheck.storage import Difference, differences
from slmcheck.workspace import Workspace

_RUN_KEY = re.compile(r'"run_key": "([0-9a-f]{64})"')


def keys_of(recipe: Recipe, workspace: Workspace) -> tuple[str, ...]:
    """The run key of every seed of a recipe, as its file and rows are now.

    Raises:
        DataError: If rows cannot be used.
        UnknownRunError: If the recipe has a search that was not finished.
    """
    recipe = settled(recipe, workspace)
    splits = load_splits(recipe)
    return tuple(
        pipeline.run_key(replace(recipe, seed=recipe.seed + index, seeds=1), splits, workspace)[0]
        for index in range(recipe.seeds)
    )


def keys_of_suites(folders: Sequence[Path], workspace: Workspace) -> dict[str, tuple[str, ...]]:
    """The run keys of every recipe in some folders or files, by the recipe's name.

    Raises:
        InputError: If there is no recipe.
    """
    return {recipe.name: keys_of(recipe, workspace) for recipe in _recipes_in(folders)}


def base_checkpoints_of_suites(folders: Sequence[Path], workspace: Workspace) -> tuple[str, ...]:
    """The checkpoint keys of the base models of every recipe: what `run.base` answered is stored under them.

    Raises:
        InputError: If there is no recipe.
    """
    bases = (recipes.base_model_of(recipe, file_digest=workspace.store.file_digest) for recipe in _recipes_in(folders))
    return tuple(dict.fromkeys(base.checkpoint().key for base in bases))


def _recipes_in(folders: Sequence[Path]) -> list[Recipe]:
    paths = [path for given in folders for path in ([given] if given.is_file() else recipe_paths(given))]
    if not paths:
        raise InputError(
            f"There is no recipe in {', '.join(repr(str(folder)) for folder in folders)}.\n"
            "A recipe is a .yaml, .toml or .json file with the key base_model."
        )
    return [recipes.load(path) for path in paths]


def keys_of_baselines(root: Path) -> tuple[str, ...]:
    """The run keys that committed baselines name, files with a merge conflict included."""
    found: dict[str, None] = {}
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if name == FOLDER or may_hold_recipes(Path(folder) / name))
        if Path(folder).name == FOLDER:
            texts = [(Path(folder) / name).read_text(encoding="utf-8") for name in files if name.endswith(".json")]
            found.update(dict.fromkeys(key for text in texts for key in _RUN_KEY.findall(text)))
    return tuple(found)


def why(a: str, b: str | None, workspace: Workspace, *, limit: int = 20) -> tuple[Difference, ...]:
    """The leaves in which what two runs were asked for differs.

    Args:
        a: A RUN; a recipe stands for what its file and rows ask for now.
        b: Likewise; None compares the newest stored run of recipe `a` with what `a` asks for now.
        workspace: Where runs are looked up.
        limit: How many differences are given at most.

    Raises:
        UnknownRunError: If one of them is unknown.
    """
    if b is not None:
        return differences(_inputs(a, workspace), _inputs(b, workspace), limit=limit)
    now = _inputs(a, workspace)
    named = look_up(a, workspace.root, workspace.store)
    name = recipes.load(named.recipe_path).name if named is not None and named.record is None else None
    record = next((found for found in workspace.store.runs() if found.name == name), None)
    if record is None:
        raise UnknownRunError(
            f"The store has no run of '{a}' to compare with.\nStore: {workspace.store.root}.\n"
            "Name two runs or keys: slmcheck cache why A B"
        )
    return differences(workspace.store.inputs_of(record.key), now, limit=limit)


def _inputs(text: str, workspace: Workspace) -> Json:
    """What a run key is the digest of: of a stored run by its key, of a recipe as it is now."""
    named = look_up(text, workspace.root, workspace.store)
    if named is None or named.record is not None:
        return workspace.store.inputs_of(text)
    recipe = settled(recipes.load(named.recipe_path), workspace)
    return pipeline.run_key(recipe, load_splits(recipe), workspace)[1]
