"""What trains more than once, at a terminal: options, trials, curves, remedies and explanations as text and JSON."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from slmcheck.cli.output import say, table
from slmcheck.cli.parsing import Parser
from slmcheck.cli.scores import changed_document, changes_text, flips_document
from slmcheck.errors import InputError
from slmcheck.evaluation import Run
from slmcheck.gates import Units
from slmcheck.records import (
    ChangeRecord,
    Finding,
    Json,
    LearningCurveRecord,
    Recipe,
    SearchRecord,
    TrialRecord,
    to_json,
)
from slmcheck.studies import (
    Attribution,
    BudgetSpentError,
    Explanation,
    Trainings,
    TriedRemedy,
    learning_curve,
    try_remedy,
)
from slmcheck.studies.explain import change_text
from slmcheck.workspace import Workspace


def add_budget(parser: Parser) -> None:
    """Declare `--budget`."""
    parser.add_argument(
        "--budget",
        type=float,
        metavar="MINUTES",
        help="where several trainings are needed, stop after so long with what is known by then; "
        "the same command again goes on",
    )


def trainings_of(arguments: argparse.Namespace, workspace: Workspace) -> Trainings:
    """The trainings of a command: announced on standard error, limited by `--budget`."""
    return Trainings(workspace=workspace, budget_minutes=arguments.budget, tell=say)


def trial_line(trial: TrialRecord, record_size: int) -> str:
    """A trial that just ended, on one line."""
    shown = ", ".join(f"{name} {value_text(value)}" for name, value in trial.values.items())
    return f"trial {trial.number} of {record_size}: {shown}: {_outcome(trial)}"


def search_text(record: SearchRecord) -> str:
    """The trials of a search, the best first."""
    sign = -1.0 if record.higher_is_better else 1.0
    order = {"complete": 0, "pruned": 1, "failed": 2}
    trials = sorted(record.trials, key=lambda trial: (order[trial.state], sign * (trial.value or 0.0), trial.number))
    names = list(trials[0].values) if trials else []
    rows = []
    for trial in trials:
        values = [value_text(trial.values.get(name)) for name in names]
        rows.append((str(trial.number), *values, _outcome(trial), trial.run_key[:12]))
    states = [trial.state for trial in record.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in order if state in states)
    head = f"search: {len(record.trials)} of {record.num_trials} trials ({counts or 'none'}), {record.sampler}"
    return "\n".join([head, table(rows, header=("trial", *names, record.metric, "run"))]) if rows else head


def search_document(record: SearchRecord) -> Json:
    """A search for programs."""
    best = record.best
    return {**to_json(record), "complete": record.is_complete, "best": None if best is None else to_json(best)}


def value_text(value: Json) -> str:
    """A value of a recipe field, short."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(value_text, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {value_text(item)}" for name, item in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _outcome(trial: TrialRecord) -> str:
    if trial.state == "failed":
        return f"failed: {trial.message}"
    value = "" if trial.value is None else f"{trial.value:.4f}"
    return value if trial.state == "complete" else f"pruned at {value}"


# Learning curve and remedy


def add_diagnosis_studies(parser: Parser) -> None:
    """Declare what `slmcheck diagnose` trains only where it is asked to."""
    parser.add_argument(
        "--learning-curve",
        action="store_true",
        help="train on a quarter and a half of the rows: does it want rows, capacity, or nothing more",
    )
    parser.add_argument(
        "--target", type=float, metavar="X", help="what the score should reach, for --learning-curve (shares: 0.9)"
    )
    parser.add_argument(
        "--try", dest="try_remedy", action="store_true", help="train the recipe with the remedy, and compare"
    )
    parser.add_argument("--metric", metavar="NAME", help="what to judge both by (default: the usual ones of the task)")
    add_budget(parser)


def diagnosis_studies(
    arguments: argparse.Namespace, run: Run | None, recipe: Recipe, findings: Sequence[Finding], workspace: Workspace
) -> tuple[list[str], dict[str, Json]]:
    """The studies that were asked for, as texts and for programs; a budget that was spent is said in its place."""
    texts, document = list[str](), dict[str, Json]()
    trainings = trainings_of(arguments, workspace)
    try:
        if arguments.learning_curve:
            if run is None:
                raise InputError(f"'{recipe.name}' has no run to draw a learning curve of: its training failed.")
            record = learning_curve(run, trainings, metric=arguments.metric, target=arguments.target)
            texts.append(curve_text(record))
            document["learning_curve"] = to_json(record)
        if arguments.try_remedy:
            metrics = [arguments.metric] if arguments.metric else []
            tried = try_remedy(run, recipe, findings, trainings, metrics=metrics)
            texts.append(remedy_text(tried))
            document["tried"] = remedy_document(tried)
    except BudgetSpentError as error:
        texts.append(str(error))
        document["stopped"] = str(error)
    return texts, document


def curve_text(record: LearningCurveRecord) -> str:
    """A learning curve as a table with bars, and its verdict."""
    scale = 100.0 if record.unit == "share" else 1.0
    most = max(abs(point.value) for point in record.points) or 1.0
    rows = []
    for point in record.points:
        bounds = (
            "none"
            if point.low is None or point.high is None
            else f"{scale * point.low:.4g} .. {scale * point.high:.4g}"
        )
        bar = "█" * max(1, round(24 * abs(point.value) / most))
        rows.append((f"{point.rows:,}", f"{point.fraction:.0%}", f"{scale * point.value:.4g}", bounds, bar))
    unit = f"{record.metric} (%)" if record.unit == "share" else record.metric
    body = table(rows, header=("rows", "share", unit, "95 % interval", ""), right=(0, 1, 2))
    return "\n".join([f"learning curve: {record.verdict}", record.summary, body, *record.notes])


def remedy_text(tried: TriedRemedy) -> str:
    """What a tried remedy changed, and what it brought."""
    patch = "\n".join(f"  {name}: {value_text(value)}" for name, value in tried.patch.items())
    head = f"tried the remedy of {', '.join(tried.causes) or 'the findings'}:\n{patch}\nrun {tried.run.key[:12]}"
    if tried.compared is None:
        return f"{head}: the training that failed before gave a model."
    return f"{head}\n\n{changes_text(tried.compared, full=False)}"


def remedy_document(tried: TriedRemedy) -> Json:
    """A tried remedy for programs."""
    compared = tried.compared
    return {
        "causes": list(tried.causes),
        "recipe_patch": to_json(tried.patch),
        "run_key": tried.run.key,
        "scores": None if compared is None else [changed_document(changed) for changed in compared.scores],
        "flips": None if compared is None else flips_document(compared.flips),
    }


# What changed


def explanation_text(found: Explanation) -> str:
    """The answer first, then what each difference accounts for."""
    units = Units(found.metric)
    old, new = units.values(found.old_value, found.new_value)
    rows = [
        (item.name, f"{item.old} -> {item.new}", *_effect_cells(item, units), item.state, item.run_key[:12])
        for item in found.attributions
    ]
    low, high = _bounds(found.total, units)
    parts = [
        found.conclusion,
        f"{found.metric.name}: {old} ({found.old}) -> {new} ({found.new}), "
        f"{change_text(found.total.value, units)} ({low} .. {high})",
    ]
    if rows:
        parts.append(
            table(rows, header=("difference", "old -> new", "accounts for", "90 % interval", "", "reverted run"))
        )
    if found.rest is not None and len(found.attributions) > 1:
        parts.append(f"left to interaction and chance: {change_text(found.rest, units)}")
    parts += [f"{item.name}: {item.reason}" for item in found.attributions if item.reason]
    parts += [found.seeds, *([found.stopped] if found.stopped else [])]
    return "\n".join(parts)


def _effect_cells(item: Attribution, units: Units) -> tuple[str, str]:
    if item.effect is None:
        return "", ""
    low, high = _bounds(item.effect, units)
    return change_text(item.effect.value, units), f"{low} .. {high}"


def _bounds(change: ChangeRecord, units: Units) -> tuple[str, str]:
    sign = units.metric.sign
    low, high = units.changes(*sorted((sign * change.low, sign * change.high)))
    return low, high


def explanation_document(found: Explanation) -> dict[str, Json]:
    """An explanation for programs; changes are oriented, positive is better."""
    return {
        "old": found.old,
        "new": found.new,
        "metric": found.metric.name,
        "old_value": found.old_value,
        "new_value": found.new_value,
        "total": to_json(found.total),
        "causes": list(found.causes),
        "conclusion": found.conclusion,
        "attributions": [to_json(item) for item in found.attributions],
        "rest": found.rest,
        "seeds": found.seeds,
        "stopped": found.stopped,
    }
