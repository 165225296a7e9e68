"""How much a recipe's scores differ between its seeds, measured on the runs that the store holds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from slmcheck import pipeline
from slmcheck.gates import Score
from slmcheck.metrics import Metric
from slmcheck.records import Example, Json, Recipe, RunRecord
from slmcheck.statistics import to_scale
from slmcheck.workspace import Workspace

LEAST_SEEDS = 3


def siblings(run_key: str, workspace: Workspace) -> tuple[RunRecord, ...]:
    """Every stored run that differs from a run in nothing but its seed, one a seed, by seed."""
    if run_key not in workspace.siblings:
        workspace.siblings[run_key] = _siblings(run_key, workspace)
    return workspace.siblings[run_key]


def _siblings(run_key: str, workspace: Workspace) -> tuple[RunRecord, ...]:
    wanted = _without_seed(workspace.store.inputs_of(run_key))
    if wanted is None:
        return ()
    found = {
        record.recipe.seed: record
        for record in workspace.store.runs()
        if record.key != run_key and _without_seed(workspace.store.inputs_of(record.key)) == wanted
    }
    return tuple(found[seed] for seed in sorted(found))


def with_seed_spread(
    score: Score,
    metric: Metric,
    examples: Sequence[Example],
    recipe: Recipe,
    others: Sequence[RunRecord],
    workspace: Workspace,
) -> Score:
    """The same score, knowing the standard deviation between the seeds of its recipe where three or more are stored.

    Only seeds whose score of these examples the store holds count; nothing is trained, predicted or measured.

    Args:
        score: Of one seed.
        metric: What it is a score of.
        examples: What it was measured on.
        recipe: The recipe.
        others: The siblings of its run.
        workspace: Where the scores lie.
    """
    if score.metric.exact:
        return score
    values = [float(score)]
    for record in others:
        source = replace(score.source, run_key=record.key, checkpoint_key=record.checkpoint.key)
        if pipeline.has_score(metric, record.checkpoint, examples, recipe, source, workspace):
            values.append(float(pipeline.measure(metric, record.checkpoint, examples, recipe, source, workspace)))
    if len(values) < LEAST_SEEDS:
        return score
    on_scale = [float(to_scale(np.asarray(value), score.metric.change_scale)) for value in values]
    spread = replace(score.source, seed_sd=statistics.stdev(on_scale))
    return Score.of(replace(score.measurement, source=spread))


def _without_seed(inputs: Json) -> Json:
    """The inputs of a run key, its seed taken out; None where they are not known."""
    if not isinstance(inputs, Mapping) or not isinstance(inputs.get("recipe"), Mapping):
        return None
    recipe = inputs["recipe"]
    assert isinstance(recipe, Mapping)
    return {**inputs, "recipe": {name: value for name, value in recipe.items() if name != "seed"}}
