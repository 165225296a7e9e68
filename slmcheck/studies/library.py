"""Training from Python without pytest; `slmcheck` re-exports it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slmcheck.evaluation import Run
from slmcheck.evaluation.opening import recipe_meant, workspace_for
from slmcheck.records import Recipe
from slmcheck.studies.search import open_recipe
from slmcheck.studies.trainings import Trainings, silent
from slmcheck.workspace import Workspace


def finetune(
    recipe: Recipe | Path | str,
    *,
    seeds: int | None = None,
    budget_minutes: float | None = None,
    tell: Callable[[str], None] | None = None,
    workspace: Workspace | None = None,
) -> Run:
    """The run of a recipe: from the store, or trained now; what its search chose, where it has one.

    Args:
        recipe: A recipe, its file, or the name of one in the project of the current folder.
        seeds: How many seeds stand behind the run; None takes the recipe's number.
        budget_minutes: Time for all trainings of a search or of several seeds; None sets no limit.
        tell: Called with how many trainings are needed and how long they take, before they start; None tells
            nobody.
        workspace: Where results are kept; None takes the project that the recipe lies in.

    Raises:
        BudgetSpentError: If the budget ended it; the same call again goes on.
        RecipeError: If the recipe cannot be carried out.
        DataError: If rows cannot be used.
        TrainingError: If a training ended without a result.
    """
    workspace = workspace_for(recipe, workspace=workspace)
    trainings = Trainings(workspace=workspace, budget_minutes=budget_minutes, tell=tell or silent)
    return open_recipe(recipe_meant(recipe, workspace), trainings, seeds=seeds)
