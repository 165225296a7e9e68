"""The remedy of a diagnosis, tried: the changed recipe is trained, and the paired difference says what it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from slmcheck.errors import InputError
from slmcheck.evaluation import Run
from slmcheck.evaluation.comparing import Compared, compare_sides
from slmcheck.evaluation.fixing import patch_of
from slmcheck.evaluation.views import MetricLike
from slmcheck.recipes import patched
from slmcheck.recipes.patching import with_rivals
from slmcheck.records import Finding, Json, Recipe
from slmcheck.studies.trainings import Training, Trainings


@dataclass(frozen=True, kw_only=True)
class TriedRemedy:
    """A remedy and what it brought."""

    causes: tuple[str, ...]
    """The findings that it answers."""
    patch: Mapping[str, Json]
    """Fields of the recipe and their new values."""
    run: Run
    """The run with the remedy."""
    compared: Compared | None
    """The run before against it, on the same examples; None where the training before gave no model."""


def try_remedy(
    run: Run | None,
    recipe: Recipe,
    findings: Sequence[Finding],
    trainings: Trainings,
    *,
    metrics: Sequence[MetricLike] = (),
) -> TriedRemedy:
    """Train a recipe with the change that its findings ask for, and compare.

    Args:
        run: The run that was diagnosed; None where its training failed.
        recipe: Its recipe.
        findings: The diagnosis.
        trainings: Carries the training out.
        metrics: What to compare by; none takes the usual ones.

    Raises:
        InputError: If no finding changes the recipe.
        RecipeError: If the changed recipe cannot be carried out.
        BudgetSpentError: If the budget ended the training.
        TrainingError: If the training ended without a result.
    """
    patch = patch_of(findings)
    if not patch:
        raise InputError(
            f"No finding of '{recipe.name}' has a change of the recipe, so there is nothing to train.\n"
            f"What they ask for is an edit of rows or of a model: slmcheck diagnose {recipe.name}"
        )
    single = replace(recipe, search=None)
    changed = replace(patched(single, with_rivals(patch)), name=f"{recipe.name}[remedy]")
    item = replace(Training.of(f"{recipe.name} with its remedy", changed), seeds=len(run.records) if run else None)
    trainings.announce(f"trying the remedy of {recipe.name}", [item])
    after = trainings.run(item)
    compared = None if run is None else compare_sides(run, after, metrics=metrics, workspace=trainings.workspace)
    causes = tuple(finding.cause for finding in findings if finding.recipe_patch)
    return TriedRemedy(causes=causes, patch=patch, run=after, compared=compared)
