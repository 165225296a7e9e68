"""`slmcheck baseline log` and `resolve`: what was accepted through the history of git, and what git could not merge."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from slmcheck.cli.options import workspace_of
from slmcheck.cli.output import Result, table
from slmcheck.cli.parsing import flat
from slmcheck.errors import UnknownMetricError
from slmcheck.evaluation.accepting import header_of
from slmcheck.evaluation.library import accepted_file
from slmcheck.evaluation.opening import recipe_meant
from slmcheck.evaluation.releases import Release, Releases, evaluation_scores, releases_of, score_of
from slmcheck.evaluation.resolving import resolve
from slmcheck.gates import Verdict
from slmcheck.records import Json, to_json
from slmcheck.reports import units
from slmcheck.reports.rows import moment
from slmcheck.reports.text import one_line


def log(arguments: argparse.Namespace) -> Result:
    """Every release of a recipe with its primary scores, who accepted it and why."""
    workspace = workspace_of(arguments, [arguments.run])
    found = releases_of(recipe_meant(arguments.run, workspace), anchor=bool(arguments.anchor))
    metrics = flat(arguments.metric) or list(found.primary)
    known = {score.metric for item in found.releases if item.header for score in evaluation_scores(item.header)}
    unknown = [name for name in metrics if name not in known]
    if unknown and known:
        raise UnknownMetricError(
            f"No release of '{found.recipe.name}' has a score '{unknown[0]}'.\nAccepted: {', '.join(sorted(known))}."
        )
    first = _first_of(found)
    lines = [
        f"{found.recipe.name}: {len(found.releases)} accepted {'baseline' if len(found.releases) == 1 else 'baselines'}"
    ]
    lines.append(table([_row(item, metrics, first) for item in found.releases], header=_header(metrics)))
    lines += [f"{item.label} cannot be read: {item.problem}" for item in found.releases if item.problem]
    lines += [
        f"{item.label}: {entry.metric} fell from {entry.old:.4g} to {entry.new:.4g}"
        f"{f' against {entry.against}' if entry.against else ''}: {one_line(entry.reason)}"
        for item in found.releases
        if item.header is not None
        for entry in item.header.regressions
    ]
    if found.is_shallow:
        lines.append("This checkout has only the last part of the history: git fetch --unshallow")
    return Result(text="\n".join(lines), document=_document(found, metrics))


def settle(arguments: argparse.Namespace) -> Result:
    """Judge both sides of a merge again and write the baseline."""
    workspace = workspace_of(arguments, [arguments.run])
    recipe = recipe_meant(arguments.run, workspace)
    measured = accepted_file(arguments.source, recipe) if arguments.source is not None else None
    done = resolve(
        recipe,
        workspace,
        anchor=bool(arguments.anchor),
        take=arguments.take,
        measured=measured,
        reason=arguments.accept_regression,
    )
    accepted = done.acceptance
    path = header_of(accepted)
    keys: dict[str, Json] = {str(name): key for name, key in done.keys.items()}
    named = ", ".join(f"{name} {str(key)[:12]}" for name, key in keys.items())
    taken = f"run {str(keys[done.taken])[:12]} ({done.taken})" if done.taken in keys else "the run of the merged recipe"
    lines = [f"Accepted {taken} of {named}: {path}", *map(change_line, accepted.verdicts)]
    lines.append(f"Then: git add '{path.parent}' and go on with the merge")
    return Result(
        text="\n".join(lines),
        document={
            "taken": done.taken,
            "runs": keys,
            "file": str(path),
            "verdicts": [to_json(verdict.record) for verdict in accepted.verdicts],
        },
    )


def change_line(verdict: Verdict) -> str:
    """How an accepted score compares with what it was judged against."""
    return f"{verdict.record.metric}, against {verdict.record.target_name or 'before'}: {verdict.lines[0]}"


def _header(metrics: Sequence[str]) -> tuple[str, ...]:
    return ("release", "accepted", *(f"{name} (95 % interval)" for name in metrics), "since the first", "by", "why")


def _row(release: Release, metrics: Sequence[str], first: Release | None) -> tuple[str, ...]:
    cells = []
    for metric in metrics:
        score = score_of(release, metric)
        if score is None:
            cells.append("none")
            continue
        ends = units.interval(score.low, score.high, score.unit)
        cells.append(units.value(score.value, score.unit) + (f" ({ends})" if ends != units.ABSENT else ""))
    return (
        one_line(release.label, 24),
        moment(release.created)[:10],
        *cells,
        _moved(release, metrics, first),
        one_line(release.by, 24),
        one_line(release.reason, 60),
    )


def _moved(release: Release, metrics: Sequence[str], first: Release | None) -> str:
    """How far the first of the metrics is from the first release, where drift would show."""
    now = score_of(release, metrics[0]) if metrics else None
    then = score_of(first, metrics[0]) if metrics and first is not None else None
    if now is None or then is None or release is first:
        return ""
    if now.signature != then.signature:
        return "another metric"
    return units.change(now.value - then.value, now.unit)


def _first_of(found: Releases) -> Release | None:
    return next((item for item in found.releases if item.header is not None), None)


def _document(found: Releases, metrics: Sequence[str]) -> dict[str, Json]:
    return {
        "run": found.recipe.name,
        "file": str(found.path),
        "shallow": found.is_shallow,
        "metrics": list(metrics),
        "releases": [
            {
                "release": item.label,
                "commit": item.commit.id if item.commit is not None else None,
                "accepted": item.created,
                "by": item.by,
                "reason": item.reason,
                "run_key": item.header.run_key if item.header is not None else None,
                "problem": item.problem or None,
                "scores": [to_json(score) for name in metrics if (score := score_of(item, name)) is not None],
                "regressions": [to_json(entry) for entry in (item.header.regressions if item.header else ())],
            }
            for item in found.releases
        ],
    }
