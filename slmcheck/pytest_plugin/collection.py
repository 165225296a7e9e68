"""Which recipes a test is run for, and what must be right before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from slmcheck import recipes
from slmcheck.errors import SlmcheckError
from slmcheck.records import Recipe

_UNSAFE = re.compile(r"[^A-Za-z0-9_]")
_RECIPES = pytest.StashKey["dict[Path, Recipe]"]()


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Run a test once a recipe: those of its `slm_run` mark, else all recipe files beside it.

    Raises:
        pytest.Collector.CollectError: If there is none, or one of them cannot be used; lists every problem.
    """
    folder = metafunc.definition.path.parent
    named = _named(metafunc.definition)
    paths = recipes.find(folder) if named is None else [(folder / name).resolve() for name in named]
    if not paths:
        raise pytest.Collector.CollectError(
            f"'{metafunc.function.__name__}' uses the fixture 'run', but there is no recipe in {folder}.\n"
            "A recipe is a .yaml, .toml or .json file beside the test with the key base_model.\n"
            "Write one with: slmcheck init NAME --data FILE"
        )
    problems = [problem for path in paths if (problem := _problem(metafunc.config, path))]
    if problems:
        raise pytest.Collector.CollectError("\n\n".join(problems))
    metafunc.parametrize("_slm_outcome", paths, indirect=True, scope="session", ids=_ids(paths))


def _named(definition: pytest.Item) -> list[str] | None:
    mark = definition.get_closest_marker("slm_run")
    if mark is None:
        return None
    named = mark.kwargs.get("recipes", mark.args[0] if mark.args else None)
    if isinstance(named, str):
        return [named]
    if not isinstance(named, Sequence) or not all(isinstance(name, str) for name in named):
        raise pytest.Collector.CollectError(
            f"The mark slm_run of {definition.nodeid} has recipes={named!r}.\nExpected file names: "
            'pytest.mark.slm_run(recipes=["lora.yaml"])'
        )
    return list(named)


def _ids(paths: Sequence[Path]) -> list[str]:
    ids = [f"run={_UNSAFE.sub('_', path.stem)}" for path in paths]
    for name in ids:
        same = [path.name for path, other in zip(paths, ids, strict=True) if other == name]
        if len(same) > 1:
            raise pytest.Collector.CollectError(
                f"Recipes {' and '.join(same)} in {paths[0].parent} have the same test id '{name}'.\n"
                "Rename one of them."
            )
    return ids


def _problem(config: pytest.Config, path: Path) -> str | None:
    try:
        recipe_at(config, path)
    except SlmcheckError as error:
        return str(error)
    return None


def note_lines(config: pytest.Config) -> list[str]:
    """What changed or fell away in the recipes of the session that are in the form of another tool."""
    known = config.stash.get(_RECIPES, {})
    return [f"slmcheck: {path.name}: {note}" for path in known for note in recipes.foreign_notes(path)]


def recipe_at(config: pytest.Config, path: Path) -> Recipe:
    """The recipe of a file, read once a session.

    Raises:
        RecipeError: If it has problems; lists all of them.
    """
    known = config.stash.setdefault(_RECIPES, {})
    if path not in known:
        known[path] = recipes.load(path)
    return known[path]
