"""The library without pytest: one function a thing to do, on the same path as the fixtures.

`slmcheck` re-exports these functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from slmcheck import inference, reports
from slmcheck.data.problems import data_error
from slmcheck.errors import InputError, MissingBaselineError
from slmcheck.evaluation.agreeing import Parity, parity
from slmcheck.evaluation.baseline import FOLDER
from slmcheck.evaluation.checking import check_recipe
from slmcheck.evaluation.comparing import Comparable, Gate, compare_sides, task_of
from slmcheck.evaluation.diagnosing import Diagnosis, diagnosis_of
from slmcheck.evaluation.naming import project_root
from slmcheck.evaluation.opening import Data, Model, open_model, open_run, recipe_meant, workspace_for
from slmcheck.evaluation.planning import RecipePlan, plan_recipe, plan_suite
from slmcheck.evaluation.run import Run
from slmcheck.evaluation.views import MetricLike
from slmcheck.export.deploying import Limits
from slmcheck.gates import Score, ScoreSource, Verdict
from slmcheck.metrics import Metric, as_metric, measure, resolve
from slmcheck.pipeline import Deployed
from slmcheck.records import Finding, Recipe, Report, Task
from slmcheck.reports.json import write_text
from slmcheck.storage.baselines import Baseline, read_baseline
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

__all__ = [
    "Parity",
    "check",
    "compare",
    "diagnose",
    "evaluate",
    "export",
    "open_run",
    "parity",
    "plan",
    "report",
]


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
        margin: How much worse a score may be; None takes what the suite's tests say, else each metric's own.
        workspace: Whose earlier runs tell the pace; None takes the project of the current folder.

    Raises:
        RecipeError: If a recipe cannot be used.
        DataError: If rows cannot be used.
    """
    if not isinstance(target, Recipe) and Path(target).is_dir():
        return plan_suite(Path(target), workspace or Workspace.at(project_root([Path(target)])))
    workspace = workspace_for(target, workspace=workspace)
    return (plan_recipe(recipe_meant(target, workspace), workspace, margin=margin),)


def diagnose(run: Run | Recipe | Path | str, *, workspace: Workspace | None = None) -> Diagnosis:
    """Why a run overfits or performs poorly, and what to change; the same as `run.diagnosis`. Never trains.

    Args:
        run: A run, a recipe, the name or key of a run.
        workspace: Where results are kept; None takes the project that the recipe lies in.

    Raises:
        UnknownRunError: If the run is unknown or was not trained.
    """
    return diagnosis_of(run if isinstance(run, Run) else open_run(run, workspace=workspace))


def export(
    run: Run | Recipe | Path | str,
    directory: Path | str,
    precision: str = "fp32",
    *,
    exporter: str = "onnx",
    adapters: Sequence[Run | Recipe | Path | str] = (),
    limits: Limits | None = None,
    workspace: Workspace | None = None,
) -> Deployed:
    """Write the folder to deploy: graph, tokenizer, card, a runner without torch, and a self-check for the device.

    Args:
        run: The run.
        directory: A new or empty folder, or one with an earlier export.
        precision: Precision of the exported weights.
        exporter: Name of the exporter: `onnx`, `genai`, or an installed plugin.
        adapters: Further runs on the same base model: the graph then holds the base model, and each run, `run` too, is
            an adapter file that is switched per call.
        limits: Times that the target device must keep; the self-check holds it to them.
        workspace: Where results are kept; None takes the project of the current folder.

    Raises:
        InputError: If the folder holds other files, or adapters cannot share a graph.
        UnknownRunError: If a run is unknown or was not trained.
        ExportError: If no usable graph came out, or the written folder answers otherwise than the trained model.
    """
    from slmcheck.evaluation.deploying import deploy, deploy_adapters

    opened = [one if isinstance(one, Run) else open_run(one, workspace=workspace) for one in (run, *adapters)]
    if adapters:
        return deploy_adapters(opened, Path(directory), precision, exporter=exporter, limits=limits)
    return deploy(opened[0], Path(directory), precision, exporter=exporter, limits=limits)


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


def accepted_file(source: Path | str, recipe: Recipe) -> Baseline:
    """What accepting a recipe would write, as the session of a report left it.

    Raises:
        InputError: If there is no report.
        MissingBaselineError: If the report has no scores of the recipe.
    """
    suite, _, stem = recipe.name.rpartition("/")
    measured = report_folder(source) / FOLDER / suite
    if not (measured / f"{stem}.json").is_file():
        raise MissingBaselineError(
            f"The report '{source}' has no scores of '{recipe.name}'.\n"
            f"Looked for {measured / f'{stem}.json'}.\n"
            "Give the folder that a session wrote with --slm-report, its folder `baselines` included."
        )
    return read_baseline(measured, stem)


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
