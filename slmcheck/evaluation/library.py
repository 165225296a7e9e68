"""The library without pytest: one function a thing to do, on the same path as the fixtures.

`slmcheck` re-exports these functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from slmcheck import inference, reports
from slmcheck.data.problems import data_error
from slmcheck.errors import InputError
from slmcheck.evaluation.checking import check_recipe
from slmcheck.evaluation.comparing import Comparable, Gate, compare_sides, task_of
from slmcheck.evaluation.naming import project_root
from slmcheck.evaluation.opening import Data, Model, open_model, open_run, recipe_meant, workspace_for
from slmcheck.evaluation.planning import RecipePlan, plan_recipe, plan_suite
from slmcheck.evaluation.run import Run, open_recipe
from slmcheck.evaluation.views import MetricLike
from slmcheck.gates import Score, ScoreSource, Verdict
from slmcheck.metrics import Metric, as_metric, measure, resolve
from slmcheck.records import Finding, Recipe, Report, Task
from slmcheck.reports.json import write_text
from slmcheck.workspace import Workspace

REPORTS = Path(".slmcheck") / "reports"
ReportFormat = Literal["html", "markdown", "json", "card", "terminal"]
SUFFIXES = {
    "html": "report.html",
    "markdown": "report.md",
    "json": "report.json",
    "card": "card.md",
    "terminal": "report.txt",
}

__all__ = ["Parity", "check", "compare", "evaluate", "finetune", "open_run", "parity", "plan", "report"]


def finetune(recipe: Recipe | Path | str, *, seeds: int | None = None, workspace: Workspace | None = None) -> Run:
    """The run of a recipe: from the store, or trained now.

    Args:
        recipe: A recipe, its file, or the name of one in the project of the current folder.
        seeds: How many seeds stand behind the run; None takes the recipe's number.
        workspace: Where results are kept; None takes the project that the recipe lies in.

    Raises:
        RecipeError: If the recipe cannot be carried out.
        DataError: If rows cannot be used.
        TrainingError: If the training ended without a result.
    """
    workspace = workspace_for(recipe, workspace=workspace)
    return open_recipe(recipe_meant(recipe, workspace), workspace, seeds=seeds)


def evaluate(
    model: Model,
    data: Data | None,
    metric: MetricLike,
    *,
    recipe: Recipe | Path | str | None = None,
    task: Task | None = None,
    text_template: str | None = None,
    answer: str | None = None,
    workspace: Workspace | None = None,
) -> Score:
    """The score of a model on data, as the fixture `run` gives it: the same keys, the same number.

    Args:
        model: A run, a recipe, the name or key of a run; a folder of a model or an adapter, a hub id; or the path of
            saved predictions (JSONL).
        data: Files or hub data sets; None takes the evaluation split of the recipe, or the rows of saved predictions.
        metric: Name of a metric of the task, or a function of predictions.
        recipe: Supplies template and settings for a model that has no recipe of its own.
        task: Task of a bare model or of saved predictions.
        text_template: Template of a bare model.
        answer: Field of the rows that a bare model must produce.
        workspace: Where results are kept; None takes the project of the current folder.

    Raises:
        UnknownRunError: If the model is unknown, or a recipe that was not trained.
        InputError: If a bare model has no template.
        DataError: If rows cannot be used.
        UnknownMetricError: If the task defines no metric of that name.
        UndefinedScoreError: If the metric has no value on these predictions.
    """
    if is_saved_predictions(model) and data is None:
        return _score_of_file(Path(str(model)), metric, task)
    view = open_model(
        model,
        data,
        recipe=recipe,
        task=task,
        text_template=text_template,
        answer=answer,
        workspace=workspace,
    )
    return view.measure(metric)


def is_saved_predictions(model: Model) -> bool:
    """Whether a model is the path of saved predictions."""
    return isinstance(model, str | Path) and Path(model).suffix == ".jsonl"


def _score_of_file(path: Path, metric: MetricLike, task: Task | None) -> Score:
    predictions = inference.read_saved_predictions(path)
    if isinstance(metric, str):
        chosen = resolve(metric, task or task_of(metric, predictions))
    else:
        chosen = metric if isinstance(metric, Metric) else as_metric(metric)
    return measure(chosen, predictions, ScoreSource(name=path.stem, split="saved predictions"))


def compare(
    a: Comparable,
    b: Comparable,
    *,
    metric: MetricLike,
    margin: float | None = None,
    gate: Gate = "dev",
    workspace: Workspace | None = None,
) -> Verdict:
    """Judge whether `b`, the newer, is no worse than `a`, the older, by more than a margin.

    The verdict is true where the claim holds; its record has both values, the change with its interval, and three
    examples that the two sides answer differently. Which of two runs a baseline is need not be said: a baseline is
    always the older side.

    Args:
        a: A run, a baseline, the path of a recipe, of a baseline or of saved predictions, the name of a run.
        b: The same.
        metric: Name of a metric of the task, or a function of predictions.
        margin: How much worse is allowed; None takes the metric's own.
        gate: `release` asks for proof.
        workspace: Where results are kept; None takes the project of the current folder.

    Raises:
        ComparisonError: If the two cannot be compared.
        UnknownRunError: If one is unknown or was not trained.
    """
    compared = compare_sides(a, b, metrics=[metric], margin=margin, gate=gate, workspace=workspace)
    verdict = compared.scores[0].verdict
    shown = compared.flips.shown if compared.flips is not None else ()
    return Verdict(replace(verdict.record, examples=verdict.record.examples or shown))


def check(recipe: Recipe | Path | str, *, workspace: Workspace | None = None) -> tuple[Finding, ...]:
    """Check a recipe, its base model and its rows before training; gives what is worth knowing of the rows.

    Raises:
        RecipeError: If the recipe or its base model cannot be used; lists every problem.
        DataError: If rows cannot be used; lists every problem.
    """
    found = recipe_meant(recipe, workspace_for(recipe, workspace=workspace))
    checked = check_recipe(found)
    if checked.problems:
        raise data_error(found, checked.problems, rows=sum(checked.rows.values()))
    return checked.findings


def plan(
    target: Recipe | Path | str, *, margin: float | None = None, workspace: Workspace | None = None
) -> tuple[RecipePlan, ...]:
    """What recipes cost and what their evaluation splits can see, before anything is trained.

    Args:
        target: A recipe, its file or name, or a folder of suites.
        margin: How much worse a score may be; None takes each metric's own.
        workspace: Whose earlier runs tell the pace; None takes the project of the current folder.

    Raises:
        RecipeError: If a recipe cannot be used.
        DataError: If rows cannot be used.
    """
    if not isinstance(target, Recipe) and Path(target).is_dir():
        return plan_suite(Path(target), workspace or Workspace.at(project_root([Path(target)])))
    workspace = workspace_for(target, workspace=workspace)
    return (plan_recipe(recipe_meant(target, workspace), workspace, margin=margin),)


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far an exported model agrees with the trained one."""

    run: str
    precision: str
    folder: Path
    """Where the exported model lies in the store."""
    scores: tuple[Score, ...]


def parity(
    run: Run | Recipe | Path | str,
    precision: str = "fp32",
    *,
    metrics: Sequence[str] = (),
    workspace: Workspace | None = None,
) -> Parity:
    """Export a run to ONNX and measure how far it agrees with the PyTorch model on the evaluation split.

    Args:
        run: The run.
        precision: Precision of the exported weights.
        metrics: Names of agreement scores, or metrics of the task on the export's own answers; none takes every
            agreement score.
        workspace: Where results are kept; None takes the project of the current folder.

    Raises:
        InputError: If there is no such precision.
        UnknownRunError: If the run is unknown or was not trained.
        ExportError: If no usable graph came out.
    """
    from slmcheck.export import PRECISIONS
    from slmcheck.parity import SCORES

    if precision not in PRECISIONS:
        close = get_close_matches(precision, PRECISIONS, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise InputError(f"Unknown precision '{precision}'.\nPrecisions: {', '.join(PRECISIONS)}.{hint}")
    opened = run if isinstance(run, Run) else open_run(run, workspace=workspace)
    exported = opened.onnx(precision)
    return Parity(
        run=opened.recipe.name,
        precision=precision,
        folder=exported.subject.checkpoints[0].path,
        scores=tuple(getattr(exported, name) for name in metrics or SCORES),
    )


def report(
    source: Report | Path | str = "latest",
    *,
    format: ReportFormat = "html",  # noqa: A002  the name on the command line
    output: Path | str | None = None,
    root: Path | None = None,
) -> tuple[Path, ...]:
    """Render a report again and write it.

    Args:
        source: A report, its folder or report.json, or `latest`.
        format: What to render it to.
        output: A file, or a folder; None takes the folder that the report was read from.
        root: The project root for `latest`; None takes that of the current folder.

    Returns:
        The files that were written: one, or a model card a run.

    Raises:
        InputError: If there is no report, or no place to write to.
    """
    home = None if isinstance(source, Report) else report_folder(source, root)
    found = source if isinstance(source, Report) else reports.read_report(home or Path())
    target = Path(output) if output is not None else home
    if target is None:
        raise InputError("A report that was not read from a folder needs a place: output=PATH.")
    texts = render(found, format)
    is_file = output is not None and target.suffix != "" and not target.is_dir()
    if is_file and len(texts) > 1:
        raise InputError(
            f"There are {len(texts)} cards, one a run, and '{target}' is one file.\nName a folder instead."
        )
    paths = [target] if is_file else [target / name for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(text, path)
    return tuple(paths)


def report_folder(source: Path | str = "latest", root: Path | None = None) -> Path:
    """Where a report lies: a folder, that of a report.json, or the newest of the project for `latest`.

    Raises:
        InputError: If there is none.
    """
    path = Path(source)
    if str(source) == "latest" and not path.exists():
        path = (root or project_root()) / REPORTS / "latest"
    if path.is_file():
        return path.parent
    if not path.is_dir():
        raise InputError(
            f"There is no report at '{path}'.\nA report is a folder with report.json.\nMake one: slmcheck run SUITES"
        )
    return path.resolve() if path.is_symlink() else path


def render(found: Report, form: ReportFormat, *, width: int = 100, color: bool = False) -> dict[str, str]:
    """The texts of a rendering by file name; several only for model cards, one a run."""
    from slmcheck.reports import card, json, markdown

    if form == "card":
        return dict(card.render_all(found))
    if form == "html":
        from slmcheck.reports import html  # reaches altair

        return {SUFFIXES[form]: html.render(found)}
    if form == "markdown":
        return {SUFFIXES[form]: markdown.render(found)}
    if form == "json":
        return {SUFFIXES[form]: json.render(found)}
    return {SUFFIXES[form]: reports.render_terminal(found, width, color)}
