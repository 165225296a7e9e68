"""The end of a session: the report, built from what the tests recorded and what the store holds."""

from __future__ import annotations

import datetime
import json
import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import slmcheck
from slmcheck import gates, reports
from slmcheck.backends.environment import this_environment
from slmcheck.errors import SlmcheckError
from slmcheck.evaluation import Run, accept, open_recipe
from slmcheck.evaluation.accepting import candidate, header_of
from slmcheck.evaluation.description import describe
from slmcheck.pytest_plugin.options import SETTINGS
from slmcheck.pytest_plugin.recorder import Recorder
from slmcheck.pytest_plugin.session import workspace_of
from slmcheck.records import OutcomeRecord, Report, RunReport, VerdictRecord, from_json
from slmcheck.storage import digest
from slmcheck.storage.baselines import write_baseline
from slmcheck.workspace import Workspace

REPORTS = Path(".slmcheck") / "reports"


def finish(recorder: Recorder) -> None:
    """Build the report of the session, write it, and accept baselines where that was asked for."""
    config = recorder.config
    settings = config.stash[SETTINGS]
    workspace = _reading(workspace_of(config))
    verdicts = tuple(from_json(VerdictRecord, json.loads(text)) for _, text in recorder.verdicts)
    runs = _open_runs(recorder, workspace, settings.seeds)
    if settings.accept_baseline:
        recorder.written += _accept(recorder, runs)
    described = tuple(describe(run) for run in runs)
    report = Report(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        slmcheck_version=slmcheck.__version__,
        policy=settings.gate,
        environment=this_environment(device=settings.device),
        command=shlex.join(["pytest", *(str(argument) for argument in config.invocation_params.args)]),
        tests=dict(sorted(recorder.outcomes.items())),
        outcomes=tuple(from_json(OutcomeRecord, end) for end in recorder.ends),
        verdicts=verdicts,
        runs=described,
        plan=tuple(recorder.plan),
        holm=gates.summarise(verdicts, alpha=settings.alpha).sentence,
        next_steps=(*_next_steps(verdicts), *_causes(described, verdicts)),
        git=_git(config.rootpath),
    )
    recorder.report = report
    recorder.folder = _write(report, runs, config, settings.report)
    config.hook.pytest_slmcheck_report(report=report)


def write(terminal: Any, recorder: Recorder) -> None:
    """Print the report through pytest's terminal."""
    report = recorder.report
    if report is None:
        return
    writer = terminal._tw
    terminal.section("slmcheck", sep="=")
    writer.write(reports.render_terminal(report, writer.fullwidth, writer.hasmarkup))
    for line in recorder.written:
        terminal.write_line(line)
    if recorder.folder is not None:
        terminal.write_line(f"report: {_short(recorder.folder, recorder.config.rootpath)}")


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _reading(workspace: Workspace) -> Workspace:
    """The same workspace, forbidden to work: a report shows what the session did and does nothing more."""
    return replace(workspace, offline=True, retrain=False, on_progress=None)


def _open_runs(recorder: Recorder, workspace: Workspace, seeds: int | None) -> list[Run]:
    found = []
    for path in sorted(recorder.runs):
        try:
            found.append(open_recipe(Path(path), workspace, seeds=seeds))
        except SlmcheckError as error:
            recorder.written.append(f"no report of {path}: {error}")
    return found


def _accept(recorder: Recorder, runs: Sequence[Run]) -> list[str]:
    """Accept the baselines of a session in which no test failed."""
    if recorder.outcomes["failed"] or recorder.outcomes["errors"]:
        return ["no baseline was accepted: a test failed"]
    if recorder.outcomes["waived"] or recorder.outcomes["quarantined"]:
        return ["no baseline was accepted: a gate is waived or in quarantine, and neither moves a baseline"]
    lines = []
    for run in runs:
        try:
            accepted = accept(run, run.recipe.directory)
            count = len(accepted.scores)
            lines.append(f"accepted {count} score{'s' if count != 1 else ''} as {header_of(accepted)}")
        except SlmcheckError as error:
            lines.append(str(error))
    return lines


def _next_steps(verdicts: Sequence[VerdictRecord]) -> tuple[str, ...]:
    steps = dict.fromkeys(
        line.removeprefix("next:").strip()
        for verdict in verdicts
        if not verdict.holds and verdict.exemption is None
        for line in verdict.lines
        if line.startswith("next:")
    )
    return tuple(steps)


def _causes(runs: Sequence[RunReport], verdicts: Sequence[VerdictRecord]) -> list[str]:
    """The command that carries out the remedy, for each run with a claim that is not met and a cause that has one."""
    red = {verdict.run_key for verdict in verdicts if not verdict.holds}
    steps = []
    for run in runs:
        cause = next((finding for finding in run.findings if finding.severity != "note"), None)
        if run.key in red and cause is not None:
            more = " --write-recipe fixed.yaml" if cause.recipe_patch else ""
            steps.append(f"{cause.cause} in {run.name}: slmcheck diagnose {run.name}{more}")
    return steps


def _write(report: Report, runs: Sequence[Run], config: pytest.Config, asked: Path | None) -> Path:
    """Write the report to `.slmcheck/reports/<time>`, linked as `latest`, and to the folder that was asked for."""
    home = config.rootpath / REPORTS
    stamp = report.created.replace(":", "").replace("+0000", "Z").replace("-", "")
    folder = home / f"{stamp}-{digest('report', [report.created, os.getpid()])[:6]}"
    reports.write_all(report, folder, formats=("json",))
    for run in runs:
        _write_candidate(run, folder)
    _point_latest(home, folder)
    if asked is None:
        return folder
    target = asked if asked.is_absolute() else config.invocation_params.dir / asked
    reports.write_all(report, target)
    for source in folder.glob("baselines/*/*"):
        copied = target / source.relative_to(folder)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copied)
    return target


def _write_candidate(run: Run, folder: Path) -> None:
    """What accepting this run would write, so that it can be accepted on a machine without store or GPU."""
    try:
        file = candidate(run)
    except SlmcheckError:
        return  # nothing of the run was measured: there is nothing to accept
    suite, _, stem = run.recipe.name.rpartition("/")
    write_baseline(file, folder / "baselines" / (suite or "."), stem)


def _point_latest(home: Path, folder: Path) -> None:
    link, temporary = home / "latest", home / f".latest-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder.name)
    os.replace(temporary, link)


def _git(root: Path) -> dict[str, str]:
    """Commit and branch of the project, read from its files; empty outside a repository."""
    head = root / ".git" / "HEAD"
    if not head.is_file():
        return {}
    text = head.read_text(encoding="utf-8").strip()
    if not text.startswith("ref: "):
        return {"commit": text}
    name = text.removeprefix("ref: ")
    reference = root / ".git" / name
    found = {"branch": name.removeprefix("refs/heads/")}
    return {**found, "commit": reference.read_text(encoding="utf-8").strip()} if reference.is_file() else found
