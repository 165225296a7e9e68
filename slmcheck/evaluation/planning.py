"""What a recipe costs and what its evaluation split can see, before anything is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slmcheck import gates, pipeline, recipes, training
from slmcheck.data import Splits, load_splits
from slmcheck.errors import ComparisonError, InputError, SlmcheckError
from slmcheck.evaluation.baseline import FOLDER, Baseline
from slmcheck.evaluation.checking import SPLITS, tokenizer_of
from slmcheck.evaluation.claims import Claim, claims_beside
from slmcheck.evaluation.naming import recipe_paths
from slmcheck.evaluation.opening import open_run
from slmcheck.evaluation.run import Run
from slmcheck.metrics import METRICS, Metric
from slmcheck.recipes.keys import DEFAULT_EPOCHS
from slmcheck.records import Recipe, Resources, RunRecord, Split, Task
from slmcheck.storage.baselines import read_baseline
from slmcheck.training.memory import read_shape
from slmcheck.workspace import Workspace

PLANNED: Mapping[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "f1"),
    "sequence_classification": ("accuracy", "f1"),
    "generation": ("exact_match", "rougeL", "bleu"),
    "extraction": ("f1", "exact_match"),
    "language_modeling": ("perplexity",),
}
"""The metrics that a recipe is planned for where no test beside it claims a change."""
SAMPLED_ROWS = 200
CHARACTERS_PER_TOKEN = 4.0
OPERATIONS_PER_WEIGHT = 6
"""Floating-point operations a weight and token: forward and backward."""
EFFICIENCY = 0.25
"""Share of a matrix product's speed that a training of a small model reaches."""
SECONDS_TO_START = 6.0
"""Imports and loading of a training process."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """How long a training takes; a rough figure, with where it comes from."""

    seconds: float
    basis: str


@dataclass(frozen=True, kw_only=True)
class RecipePlan:
    """One recipe before it is trained."""

    recipe: Recipe
    rows: Mapping[Split, int]
    evaluated: Split
    checks: tuple[gates.Plan, ...]
    """What the evaluation split can see: of the comparisons with a baseline that the tests beside the recipe make, else
    of the usual metrics of its task. Nothing is planned of which no variance is known."""
    steps: int
    """0 where the trainer takes a model that exists already."""
    tokens: int
    """Tokens that the updates will see, estimated from a sample."""
    memory: training.MemoryEstimate | None
    """None where nothing is trained, or the base model's files are not on this machine."""
    cost: Cost | None
    """None where nothing is trained, or nothing is known of this machine."""
    stored: bool
    """Whether the store has the run already."""
    measured: Resources | None = None
    """What that run really took, to hold the estimates against."""


def plan_recipe(recipe: Recipe, workspace: Workspace, *, margin: float | None = None) -> RecipePlan:
    """Plan one recipe.

    Args:
        recipe: The recipe.
        workspace: Earlier runs of its store tell the pace of this machine.
        margin: How much worse a score may be; None takes what the tests beside the recipe say, else each metric's own.

    Raises:
        RecipeError: If the base model cannot be found.
        DataError: If rows cannot be used.
    """
    splits = load_splits(recipe)
    evaluated = splits.evaluation_split(recipe)
    n = len(splits.of(evaluated))
    key, _ = pipeline.run_key(recipe, splits, workspace)
    trains = training.find_trainer(recipe.trainer).trains
    folder = recipes.base_model_of(recipe).folder if trains else None
    steps, tokens = (steps_of(recipe, len(splits.train)), _tokens(recipe, splits)) if trains else (0, 0)
    records = list(workspace.store.runs())
    done = [record for record in records if record.key == key]
    stored = bool(done)
    return RecipePlan(
        recipe=recipe,
        rows={split: len(splits.of(split)) for split in SPLITS},
        evaluated=evaluated,
        checks=_checks(recipe, n, margin, workspace if stored else None),
        steps=steps,
        tokens=tokens,
        memory=None if folder is None else training.estimate_of_recipe(recipe, str(folder)),
        cost=_cost(recipe, tokens, [record for record in records if record.key != key], folder) if trains else None,
        stored=stored,
        measured=done[-1].resources if done and trains else None,
    )


def _checks(recipe: Recipe, n: int, margin: float | None, workspace: Workspace | None) -> tuple[gates.Plan, ...]:
    """What can be seen of each comparison; left out is what has no variance, neither measured nor assumed."""
    run = None if workspace is None else open_run(recipe, workspace=workspace)
    found = []
    for claim in _claims(recipe):
        metric = METRICS[recipe.task][claim.metric]
        planned = plan_claim(
            recipe,
            claim,
            n,
            margin=margin,
            seeds=recipe.seeds,
            example_variance=None if run is None else measured_variance(run, metric),
        )
        found += [] if planned is None else [planned]
    return tuple(dict.fromkeys(found))


def _claims(recipe: Recipe) -> list[Claim]:
    """The comparisons with a baseline to plan, those that decide a release first."""
    written = [] if recipe.path is None else claims_beside(recipe.path)
    claims = [claim for claim in written if claim.kind == "no_worse" and claim.metric in METRICS[recipe.task]]
    if not claims:
        return [Claim(name, "no_worse") for name in PLANNED[recipe.task]]
    return sorted(claims, key=lambda claim: not claim.is_primary)


def plan_claim(
    recipe: Recipe,
    claim: Claim,
    rows: int,
    *,
    margin: float | None = None,
    seeds: int,
    seed_sd: float | None = None,
    example_variance: float | None = None,
    alpha: float = 0.05,
) -> gates.Plan | None:
    """Plan one comparison of a run with its baseline.

    Args:
        recipe: The recipe of the run.
        claim: The comparison, of a built-in metric of the recipe's task.
        rows: Rows of the evaluation split.
        margin: How much worse a score may be; None takes the claim's.
        seeds: Seeds of the run.
        seed_sd: Spread of the metric between seeds; None takes what the accepted baseline knows.
        example_variance: What was measured of one example's change; None assumes a usual value.
        alpha: One-sided level of the session.

    Returns:
        None where nothing is known of the metric's variance.
    """
    metric = METRICS[recipe.task][claim.metric].info
    return gates.plan(
        metric,
        rows,
        margin=claim.margin_of(metric) if margin is None else margin,
        example_variance=example_variance,
        seed_sd=_accepted_seed_sd(recipe, metric.name) if seed_sd is None else seed_sd,
        seeds=seeds,
        alpha=alpha,
    )


def _accepted_seed_sd(recipe: Recipe, metric: str) -> float | None:
    """How much seeds of the recipe differ, as its baseline knows; None where it does not."""
    try:
        file = read_baseline(recipe.directory / FOLDER, recipe.name.rpartition("/")[2])
    except SlmcheckError:
        return None  # no baseline yet, or a damaged one, which the fixture will tell
    accepted = file.find(metric)
    return accepted.seed_sd if accepted is not None else None


def measured_variance(run: Run, metric: Metric) -> float | None:
    """Variance of one example's change between a run and its baseline; None where one of them lacks the score."""
    baseline = Baseline.of(run, run.recipe.directory)
    if not baseline.exists or not run.holds(metric):
        return None
    accepted = baseline.measure(metric)
    if isinstance(accepted, gates.MissingScore) or accepted.source.run_key == run.key:
        return None  # of one training nothing is learned about another one
    try:
        return gates.variance_of_change(run.measure(metric), accepted)
    except ComparisonError:
        return None  # the baseline is of other rows: it says nothing about these


def plan_suite(folder: Path, workspace: Workspace) -> tuple[RecipePlan, ...]:
    """Plan every recipe below a folder.

    Raises:
        InputError: If there is none.
    """
    found = recipe_paths(folder)
    if not found:
        raise InputError(
            f"There is no recipe in '{folder}'.\nA recipe is a .yaml, .toml or .json file with the key base_model.\n"
            "Write one: slmcheck init NAME --data FILE"
        )
    return tuple(plan_recipe(recipes.load(path), workspace) for path in found)


def steps_of(recipe: Recipe, rows: int) -> int:
    """Updates of a training without early stopping."""
    if recipe.max_steps is not None:
        return recipe.max_steps
    batch = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
    epochs = recipe.num_train_epochs if recipe.num_train_epochs is not None else DEFAULT_EPOCHS
    return max(1, round(epochs * -(-rows // batch)))


def _tokens(recipe: Recipe, splits: Splits) -> int:
    """Tokens that all updates see, from the mean length of a sample of training rows."""
    sample = splits.train[:: max(1, len(splits.train) // SAMPLED_ROWS)][:SAMPLED_ROWS]
    texts = [example.prompt + example.answer or _conversation(example.messages) for example in sample]
    tokenizer = tokenizer_of(recipe)
    if tokenizer is None:
        lengths = [len(text) / CHARACTERS_PER_TOKEN + 2 for text in texts]
    else:
        lengths = [len(tokenizer.tokenize(text)[0]) + 2.0 for text in texts]
    if recipe.task != "language_modeling":
        lengths = [min(length, recipe.data.max_length) for length in lengths]
    mean = sum(lengths) / max(1, len(lengths))
    batch = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps
    return round(steps_of(recipe, len(splits.train)) * min(batch, len(splits.train)) * mean)


def _conversation(messages: Sequence[Mapping[str, object]]) -> str:
    return "\n".join(f"{message.get('role')}: {message.get('content')}" for message in messages)


def _cost(recipe: Recipe, tokens: int, records: Sequence[RunRecord], folder: Path | None) -> Cost | None:
    paces = [
        record.resources.tokens_per_second
        for record in records
        if record.resources.tokens_per_second
        and (record.recipe.base_model, record.recipe.trainer) == (recipe.base_model, recipe.trainer)
    ]
    if paces:
        count = f"{len(paces)} earlier {'runs' if len(paces) > 1 else 'run'}"
        return Cost(seconds=SECONDS_TO_START + tokens / sorted(paces)[len(paces) // 2], basis=f"the pace of {count}")
    shape = read_shape(folder) if folder is not None else None
    if shape is None:
        return None
    operations = OPERATIONS_PER_WEIGHT * shape.parameters * tokens
    seconds = operations / (EFFICIENCY * _operations_per_second())
    return Cost(
        seconds=SECONDS_TO_START + seconds, basis="a guess from the speed of this processor, good to a factor 3"
    )


def cost_of(recipe: Recipe, splits: Splits, workspace: Workspace) -> Cost | None:
    """How long one training of a recipe on these rows takes; None where nothing is trained, or nothing is known.

    Raises:
        RecipeError: If the base model cannot be found.
    """
    if not training.find_trainer(recipe.trainer).trains:
        return None
    records, folder = list(workspace.store.runs()), recipes.base_model_of(recipe).folder
    return _cost(recipe, _tokens(recipe, splits), records, folder)


def _operations_per_second() -> float:
    """Speed of a matrix product of numpy in float32 on this machine, with the threads that numpy uses."""
    import numpy as np

    size, best = 512, float("inf")
    matrix = np.ones((size, size), dtype=np.float32)
    for _ in range(4):
        started = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - started)
    return 2.0 * size**3 / best
