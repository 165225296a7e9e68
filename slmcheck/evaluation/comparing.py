"""Two runs, baselines or files of saved predictions side by side: changed scores, flipped examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from slmcheck import gates, inference, recipes
from slmcheck.errors import (
    ComparisonError,
    MissingBaselineError,
    UndefinedScoreError,
    UnknownMetricError,
    UnknownRunError,
)
from slmcheck.evaluation.baseline import FOLDER, Baseline
from slmcheck.evaluation.naming import recipe_paths
from slmcheck.evaluation.opening import Model, open_model, open_run, recipe_view, workspace_for
from slmcheck.evaluation.run import Run
from slmcheck.evaluation.views import MetricLike
from slmcheck.gates import Comparison, MissingScore, Policy, Score, ScoreSource, Verdict, judging
from slmcheck.metrics import METRICS, Metric, as_metric, measure, resolve
from slmcheck.records import TASKS, ExampleEvidence, Prediction, Task
from slmcheck.records.disclosure import shown
from slmcheck.workspace import Workspace

Gate = Literal["dev", "release"]
Comparable = Model | Baseline

BASELINE = "baseline"
"""Stands on the command line for the accepted baseline of the other side."""
SHOWN = 3
"""Flipped examples that are shown in full."""
USUAL_METRICS: Mapping[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "f1", "balanced_accuracy", "mcc", "brier"),
    "sequence_classification": ("accuracy", "f1", "balanced_accuracy", "mcc", "brier"),
    "generation": ("exact_match", "f1", "rougeL", "bleu", "chrf"),
    "extraction": ("f1", "precision", "recall", "exact_match"),
    "language_modeling": ("loss", "perplexity", "bits_per_byte"),
}
"""What two sides are compared by when no metric is named; one prediction of each row serves them all."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One side of a comparison."""

    name: str
    task: Task | None
    """None for saved predictions: the metric decides."""
    metrics: tuple[str, ...]
    """What it is compared by when no metric is named."""
    measure: Callable[[MetricLike], Score | MissingScore]
    is_baseline: bool = False


@dataclass(frozen=True, kw_only=True)
class ChangedScore:
    """One metric of both sides."""

    old: Score
    new: Score
    comparison: Comparison
    verdict: Verdict
    """Whether the new score is no worse than the old one by more than the margin."""

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.new.metric.name


@dataclass(frozen=True, kw_only=True)
class Flips:
    """The examples that one metric counts differently on the two sides."""

    metric: str
    worse: tuple[str, ...]
    """Ids, the worst first."""
    better: tuple[str, ...]
    shown: tuple[ExampleEvidence, ...]
    """Some of them in full, worse ones first."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two sides, an older and a newer."""

    old: str
    new: str
    scores: tuple[ChangedScore, ...]
    flips: Flips | None
    """None where examples cannot be paired."""
    left_out: tuple[str, ...] = ()
    """Metrics that only one side can give, one sentence each."""

    @property
    def holds(self) -> bool:
        """Whether every verdict is true."""
        return all(bool(score.verdict) for score in self.scores)


def compare_sides(
    a: Comparable,
    b: Comparable,
    *,
    metrics: Sequence[MetricLike] = (),
    margin: float | None = None,
    gate: Gate = "dev",
    alpha: float = 0.05,
    workspace: Workspace | None = None,
) -> Compared:
    """Compare an older side with a newer one, by metrics that are asked for or by the usual ones of the task.

    Args:
        a: The older side: a run, a baseline, the path of a baseline or of saved predictions.
        b: The newer side. Where only b is a baseline the two change places: a baseline is what a run is held against.
        metrics: Names or functions; none takes the usual ones that both sides can give.
        margin: How much worse the newer score may be; None takes each metric's own.
        gate: `release` asks for proof.
        alpha: One-sided level.
        workspace: Where results are kept; None takes the project of the current folder.

    Raises:
        ComparisonError: If the sides cannot be compared.
        UnknownRunError: If a side is unknown or was not trained.
    """
    workspace = workspace_for(a, b, workspace=workspace)
    old, new = _scored_pair(a, b, workspace)
    if new.is_baseline and not old.is_baseline:
        old, new = new, old
    chosen: Sequence[MetricLike] = metrics or _common(old, new)
    scores, left_out = [], []
    for metric in chosen:
        try:
            scores.append(_changed(old, new, metric, margin=margin, gate=gate, alpha=alpha))
        except (UndefinedScoreError, UnknownMetricError, ComparisonError) as error:
            if metrics:
                raise
            left_out.append(f"{metric}: {str(error).splitlines()[0]}")
    if not scores:
        reasons = "\n".join(left_out) or "They have no metric in common."
        raise ComparisonError(f"'{old.name}' and '{new.name}' cannot be compared.\n{reasons}\nName one: --metric NAME")
    return Compared(
        old=old.name, new=new.name, scores=tuple(scores), flips=_flips(scores[0], alpha), left_out=tuple(left_out)
    )


def _changed(
    old: Scored, new: Scored, metric: MetricLike, *, margin: float | None, gate: Gate, alpha: float
) -> ChangedScore:
    before, after = old.measure(metric), new.measure(metric)
    if isinstance(before, MissingScore) or isinstance(after, MissingScore):
        missing = before if isinstance(before, MissingScore) else after
        raise ComparisonError(getattr(missing, "message", f"{missing!r} was not accepted."))
    with judging(Policy(gate=gate, primary=gate == "release", alpha=alpha, reported=False)):
        verdict = after.no_worse_than(before, margin=margin)
    comparison = gates.compare(after.measurement, before.measurement, alpha=alpha)
    return ChangedScore(old=before, new=after, comparison=comparison, verdict=verdict)


def _common(old: Scored, new: Scored) -> list[str]:
    """What both are compared by: everything that was accepted, else the usual metrics of both."""
    if old.is_baseline and not new.is_baseline and new.task is not None:
        return [name for name in old.metrics if name in METRICS[new.task]]
    return [name for name in old.metrics if name in new.metrics]


def baseline_run(run: Run) -> Run:
    """The stored run that the baseline of a run was accepted of.

    Raises:
        MissingBaselineError: If no baseline was accepted yet.
        UnknownRunError: If the store does not have its run any more.
    """
    found = _baseline_found(run)
    assert found.file is not None
    key = found.file.header.run_key
    if key is None:
        raise UnknownRunError(f"The baseline of '{run.recipe.name}' does not name the run that it was accepted of.")
    try:
        return open_run(key, workspace=run.workspace)
    except UnknownRunError as error:
        raise UnknownRunError(
            f"The baseline of '{run.recipe.name}' was accepted of run {key[:12]}, which the store does not have.\n"
            f"Store: {run.workspace.store.root}.\nBring it here: slmcheck cache import FILE"
        ) from error


# Flipped examples


def _flips(score: ChangedScore, alpha: float) -> Flips | None:
    comparison = score.comparison
    if not comparison.paired:
        return None
    back = gates.compare(score.old.measurement, score.new.measurement, alpha=alpha)
    worse, better = comparison.worse, back.worse
    chosen = [*worse[:SHOWN], *better[: max(0, SHOWN - len(worse))]]
    found = tuple(_in_full(score, name, note="worse" if name in worse else "better") for name in chosen)
    sides = (score.old.source.disclosure, score.new.source.disclosure)
    return Flips(
        metric=score.metric,
        worse=worse,
        better=better,
        shown=shown(shown(found, sides[0]), sides[1]) if sides[0] != sides[1] else shown(found, sides[0]),
    )


def _in_full(score: ChangedScore, example_id: str, *, note: str) -> ExampleEvidence:
    new, old = score.new.evidence, score.old.evidence
    assert new is not None
    assert old is not None
    example = new.show(example_id) if new.show is not None else None
    if example is None:
        example = ExampleEvidence(id=example_id, prompt="", reference="", answer="")
    before = old.show(example_id).answer if old.show is not None else ""
    if old.answers is not None:
        before = old.answers[old.position[example_id]]
    return replace(example, old_answer=before, note=note)


# Sides


def _scored_pair(a: Comparable, b: Comparable, workspace: Workspace) -> tuple[Scored, Scored]:
    """Both sides; the word `baseline` means that of the other one."""
    if _is_word(a) and _is_word(b):
        raise ComparisonError(f"Both sides are '{BASELINE}': one of them must be a run.")
    if _is_word(a):
        return _baseline_of(b, workspace), scored(b, workspace)
    if _is_word(b):
        return scored(a, workspace), _baseline_of(a, workspace)
    return scored(a, workspace), scored(b, workspace)


def _is_word(side: Comparable) -> bool:
    return isinstance(side, str) and side == BASELINE


def _baseline_of(side: Comparable, workspace: Workspace) -> Scored:
    view = side if isinstance(side, Run) else open_model(cast("Model", side), workspace=workspace)
    if not isinstance(view, Run):
        raise ComparisonError(f"'{view.name}' has no baseline: only the run of a recipe has one.")
    return _scored_baseline(_baseline_found(view))


def _baseline_found(run: Run) -> Baseline:
    found = Baseline.of(run, run.recipe.directory)
    if not found.exists:
        raise MissingBaselineError(
            f"Run '{run.recipe.name}' has no baseline yet.\nLooked in {run.recipe.directory / FOLDER}.\n"
            f"Accept the current scores: slmcheck baseline accept {run.recipe.path or run.recipe.name}"
        )
    return found


def scored(side: Comparable, workspace: Workspace) -> Scored:
    """One side of a comparison from whatever names it.

    Raises:
        UnknownRunError: If nothing has that name, or it was not trained.
        DataError: If a file of predictions cannot be used.
    """
    if isinstance(side, Baseline):
        return _scored_baseline(side)
    path = Path(side) if isinstance(side, str | Path) else None
    if path is not None and path.suffix == ".jsonl" and path.parent.name != FOLDER:
        return _scored_file(path)
    if path is not None and path.parent.name == FOLDER and path.suffix in (".json", ".jsonl"):
        return _scored_baseline(_baseline_at(path, workspace))
    view = open_model(side, workspace=workspace)
    name = view.recipe.name if isinstance(view, Run) else view.name
    return Scored(name=name, task=view.recipe.task, metrics=_usual(view.recipe.task), measure=view.measure)


def _usual(task: Task) -> tuple[str, ...]:
    return tuple(name for name in USUAL_METRICS[task] if name in METRICS[task])


def _scored_baseline(baseline: Baseline) -> Scored:
    file = baseline.file
    if file is None:
        raise ComparisonError(f"{baseline!r} cannot be compared: nothing was accepted yet.")
    accepted = tuple(score.metric for score in file.header.scores if score.split != "train" and not score.variant)
    return Scored(
        name=f"baseline of {file.header.run}",
        task=file.header.task if file.header.task in TASKS else None,
        metrics=accepted,
        measure=baseline.measure,
        is_baseline=True,
    )


def _baseline_at(path: Path, workspace: Workspace) -> Baseline:
    """The baseline in a file, read with the rows that its recipe has today; its run need not be in the store."""
    stem = path.name.removesuffix(".jsonl").removesuffix(".examples").removesuffix(".json")
    is_anchor, stem = stem.endswith(".anchor"), stem.removesuffix(".anchor")
    suite = path.absolute().parent.parent
    found = [item for item in recipe_paths(suite) if item.parent == suite and item.stem == stem]
    if not path.is_file() or not found:
        raise UnknownRunError(
            f"'{path}' is no baseline of a suite.\n"
            + (f"There is no recipe '{stem}' in {suite}." if path.is_file() else "There is no such file.")
            + "\nA baseline lies in SUITE/baselines/ and has the name of its recipe."
        )
    recipe = recipes.load(found[0])
    return Baseline.of(recipe_view(recipe, workspace), suite, anchor=is_anchor)


def _scored_file(path: Path) -> Scored:
    predictions = inference.read_saved_predictions(path)

    def measure_file(metric: MetricLike) -> Score:
        chosen = metric if isinstance(metric, Metric) else None
        if chosen is None:
            chosen = resolve(metric, task_of(metric, predictions)) if isinstance(metric, str) else as_metric(metric)
        return measure(chosen, predictions, ScoreSource(name=path.stem, split="saved predictions"))

    task = _task_of_rows(predictions)
    return Scored(name=path.stem, task=None, metrics=_usual(task), measure=measure_file)


def task_of(metric: str, predictions: Sequence[Prediction]) -> Task:
    """The task whose metric of this name saved predictions are measured by.

    Raises:
        UnknownMetricError: If no task defines it.
    """
    tasks = [task for task in TASKS if metric in METRICS[task]]
    if not tasks:
        resolve(metric, _task_of_rows(predictions))
    likely = _task_of_rows(predictions)
    return likely if likely in tasks else tasks[0]


def _task_of_rows(predictions: Sequence[Prediction]) -> Task:
    """What saved predictions look like: options, slots as JSON, few different references, or texts."""
    if all(item.prediction is None for item in predictions):
        return "language_modeling"
    if any(item.option_scores is not None for item in predictions):
        return "classification"
    if all(_is_object(item.reference) for item in predictions):
        return "extraction"
    references = {item.reference for item in predictions}
    few = len(references) <= max(2, len(predictions) // 5) and max(map(len, references)) <= 60
    return "classification" if few else "generation"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
