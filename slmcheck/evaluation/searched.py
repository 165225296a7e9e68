"""A recipe with a search -> the recipe that its search chose, from what the store holds; nothing is trained."""

from __future__ import annotations

from dataclasses import replace

from slmcheck import pipeline
from slmcheck.data import Splits, load_splits
from slmcheck.errors import UnknownRunError
from slmcheck.recipes import patched
from slmcheck.recipes.searching import canonical
from slmcheck.records import Recipe, SearchRecord, from_json, to_json
from slmcheck.storage import digest
from slmcheck.workspace import Workspace


def search_key(recipe: Recipe, splits: Splits, workspace: Workspace) -> str:
    """The key of a search: all that decides its trials, their number left out, so that raising it continues.

    Args:
        recipe: The recipe, its searched fields as they may be; their values in the recipe do not count.
        splits: Its rows.
        workspace: Where files are hashed.
    """
    assert recipe.search is not None
    spec = to_json(replace(recipe.search, num_trials=1))
    inputs = pipeline.run_key(canonical(recipe), splits, workspace)[1]
    return digest("search", {"search": spec, "run": inputs})


def finished_search(recipe: Recipe, splits: Splits, workspace: Workspace) -> SearchRecord | None:
    """The search of a recipe with all its trials; None where it has none, or they were not all carried out."""
    if recipe.search is None:
        return None
    stored = workspace.store.read_findings(_result_key(recipe, splits, workspace))
    return None if stored is None else from_json(SearchRecord, stored)


def keep_search(recipe: Recipe, splits: Splits, record: SearchRecord, workspace: Workspace) -> None:
    """Store a finished search."""
    # The run of the best trial in the inputs lets the search travel with it, and stay as long as it does.
    best = None if record.best is None else record.best.run_key
    workspace.store.write_findings(_result_key(recipe, splits, workspace), to_json(record), {"run": best})


def chosen(recipe: Recipe, record: SearchRecord) -> Recipe | None:
    """The recipe with the values of the best trial; None where no trial was completed."""
    best = record.best
    return None if best is None else patched(recipe, best.values)


def settled(recipe: Recipe, workspace: Workspace) -> Recipe:
    """The recipe itself, or the one that its search chose; a recipe that is settled already stays as it is.

    Raises:
        UnknownRunError: If its search was not finished yet.
        DataError: If rows cannot be used.
    """
    if recipe.search is None:
        return recipe
    record = finished_search(recipe, load_splits(recipe), workspace)
    found = None if record is None else chosen(recipe, record)
    if found is None:
        raise UnknownRunError(
            f"Recipe '{recipe.name}' has a search, and no trial has won it yet: it was not finished, or the recipe or "
            f"its rows changed since.\nStore: {workspace.store.root}.\n"
            f"Finish it: slmcheck train {recipe.path or recipe.name}"
        )
    return found


def _result_key(recipe: Recipe, splits: Splits, workspace: Workspace) -> str:
    assert recipe.search is not None
    key = search_key(recipe, splits, workspace)
    return digest("search-result", {"search": key, "num_trials": recipe.search.num_trials})
