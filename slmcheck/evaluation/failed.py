"""A recipe whose training ended without a result -> why, from what the work folder still holds."""

from __future__ import annotations

from slmcheck import pipeline
from slmcheck.data import load_splits
from slmcheck.diagnosis import Diagnosed, Observed, diagnosed
from slmcheck.evaluation.observing import METRIC, machine_bytes
from slmcheck.records import Recipe
from slmcheck.training import history, jobs
from slmcheck.workspace import Workspace


def failed_diagnosis(recipe: Recipe, workspace: Workspace) -> Diagnosed | None:
    """The diagnosis of a training that failed and was not carried out since; None where none failed.

    Raises:
        DataError: If rows cannot be used.
    """
    splits = load_splits(recipe)
    key, _ = pipeline.run_key(recipe, splits, workspace)
    for work in sorted((workspace.store.root / "work").glob(f"{key}-*")):
        failure = jobs.read_failure(work)
        if failure is None:
            continue
        seen = Observed(
            recipe=recipe,
            splits=splits,
            metric=METRIC[recipe.task],
            history=history.read_history(work / jobs.PUBLISH / history.FILE_NAME),
            machine_bytes=machine_bytes(),
            failure=failure.message,
            failure_kind=failure.error,
        )
        return diagnosed(seen, is_whole=False, notes=("The training failed; its model was not asked.",))
    return None
