"""A run -> the folder to deploy, and the self-check of a device -> a score of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slmcheck import parity, pipeline
from slmcheck.errors import ExportError, InputError, StoreError
from slmcheck.evaluation.held import held_scores
from slmcheck.evaluation.run import Run
from slmcheck.export import ONNX, find_exporter
from slmcheck.export.deploying import Identity, Limits
from slmcheck.gates import Score, ScoreSource
from slmcheck.pipeline.deploying import ShownExamples
from slmcheck.records import Checkpoint, Prediction, from_json
from slmcheck.storage import digest


def deploy(
    run: Run, directory: Path, precision: str = "fp32", *, exporter: str = ONNX, limits: Limits | None = None
) -> pipeline.Deployed:
    """Write the folder to deploy; see `slmcheck.evaluation.library.export`."""
    exported = pipeline.export(run.record, precision, run.workspace, exporter=exporter)
    part = pipeline.Part(record=run.record, examples=run.examples())
    identity = replace(_identity(run, exported), exporter=exporter, scores=tuple(_known_scores(run, precision)))
    return pipeline.deploy(
        [part],
        exported,
        directory,
        run.workspace,
        identity=identity,
        limits=limits or Limits(),
        shown=shown_examples([run]),
    )


def deploy_adapters(
    runs: Sequence[Run], directory: Path, precision: str = "fp32", *, exporter: str = ONNX, limits: Limits | None = None
) -> pipeline.Deployed:
    """Write a folder whose graph is the base model and whose adapters are switched per call.

    Raises:
        InputError: If two runs have one name, the exporter knows no adapters, or the runs cannot share a graph.
    """
    if exporter != ONNX:
        raise InputError(
            f"The exporter '{exporter}' writes no graph with adapters.\nLeave --exporter out: '{ONNX}' does."
        )
    names = [run.recipe.name.rpartition("/")[2] for run in runs]
    if len(set(names)) < len(names):
        names = [run.recipe.name.replace("/", "-") for run in runs]
    if len(set(names)) < len(names):
        raise InputError(f"Two runs are called alike: {', '.join(names)}.\nName each run once.")
    checkpoints = {name: run.checkpoint for name, run in zip(names, runs, strict=True)}
    exported = pipeline.export_adapters(checkpoints, precision, runs[0].workspace)
    parts = [
        pipeline.Part(record=run.record, examples=run.examples(), adapter=name)
        for name, run in zip(names, runs, strict=True)
    ]
    identity = replace(_identity(runs[0], exported), run=", ".join(run.recipe.name for run in runs), run_key=None)
    return pipeline.deploy(
        parts,
        exported,
        directory,
        runs[0].workspace,
        identity=identity,
        limits=limits or Limits(),
        shown=shown_examples(runs),
    )


def _identity(run: Run, exported: Checkpoint) -> Identity:
    return Identity(
        run=run.recipe.name,
        run_key=run.key,
        export_key=exported.key,
        base_model=run.recipe.base_model,
        trainer=run.recipe.trainer,
        task=run.recipe.task,
        exporter=ONNX,
    )


def shown_examples(runs: Sequence[Run]) -> ShownExamples:
    """What of the suites' rows may leave the store: their setting `examples`, `full` where they have none."""
    settings = {str(getattr(run.recipe, "examples", "full")) for run in runs}
    return "full" if settings == {"full"} else "none"


def _known_scores(run: Run, precision: str) -> list[tuple[str, str, str]]:
    """What the store knows of the model and of this export on the evaluation split; nothing is measured for a card."""
    names = {"": "trained model", f"onnx:{precision}": "this export"}
    found = []
    for held in held_scores(run):
        if held.variant in names and held.split != "train" and held.slice is None:
            record = held.record
            interval = "" if record.low is None or record.high is None else f"{record.low:.4g} .. {record.high:.4g}"
            found.append((f"{record.metric}, {names[held.variant]}", f"{record.value:.4g}", interval))
    return found


@dataclass(frozen=True, kw_only=True)
class SelfCheck:
    """What a device found, joined with the answers of the trained model."""

    precision: str
    place: str
    """Processor, runtime and threads."""
    passed: bool
    checks: tuple[tuple[str, str, bool], ...]
    """What was looked at, what was found, whether it holds."""
    agreement: Score
    """Share of prompts that the device answers as the trained model does."""
    limit: float | None
    """Least agreement that the precision should have."""


def read_selfcheck(run: Run, file: Path) -> SelfCheck:
    """The self-check of a device as a score of the run.

    Args:
        run: The run whose export was checked.
        file: What selfcheck.py wrote.

    Raises:
        InputError: If the file is no self-check, or of another run or an export of other weights.
        UndefinedScoreError: If its prompts are no rows of the run.
    """
    found = _read(file)
    export_key, precision = found.export_key, found.precision
    if export_key not in _export_keys(run, precision):
        raise InputError(
            f"{file} is a self-check of {found.run}, export {export_key[:12]}.\n"
            f"The {precision} export of '{run.recipe.name}' is another one: it was trained or exported again since.\n"
            f"Export and check again: slmcheck export {run.recipe.name} DIR --precision {precision}"
        )
    answers = {one.id: one.answer for one in found.answers}
    own = [one for one in run.predictions() if one.id in answers]
    source = ScoreSource(
        name=f"{run.name}.onnx({precision}) on {found.processor}, {found.runtime}",
        run_key=run.key,
        checkpoint_key=export_key,
        task=run.recipe.task,
        split="validation" if run.recipe.evaluates_on_validation else "test",
        notes=(f"{len(own)} prompts of the self-check of {found.created}",),
    )
    other = [Prediction(id=one.id, prediction=answers[one.id], references=one.references) for one in own]
    if len(own) != len(answers):
        raise InputError(
            f"{len(answers) - len(own)} of {len(answers)} prompts of {file} are no rows of '{run.recipe.name}'.\n"
            "An agreement with the suite needs its rows: the export was made without them, or the rows changed."
        )
    return SelfCheck(
        precision=precision,
        place=f"{found.processor}, {found.runtime}, {found.threads} threads",
        passed=found.passed,
        checks=tuple((one.check, one.found, one.holds) for one in found.checks),
        agreement=parity.agreement(own, other, source),
        limit=parity.TOLERANCES[precision].agreement if precision in parity.TOLERANCES else None,
    )


def _export_keys(run: Run, precision: str) -> set[str]:
    """Keys of the exports of a run at a precision, by every installed exporter that has it."""
    from slmcheck.discovery import EXPORTERS, plugin_names

    keys = set()
    for name in plugin_names(EXPORTERS):
        try:
            keys.add(digest("export", find_exporter(name).inputs(run.checkpoint, precision)))
        except ExportError:
            continue  # this exporter has no such precision
    return keys


@dataclass(frozen=True, kw_only=True)
class _Check:
    check: str
    found: str
    holds: bool


@dataclass(frozen=True, kw_only=True)
class _Answer:
    id: str
    answer: str
    margin: float
    ids_equal: bool | None
    same: bool
    close: bool
    same_as_trained: bool | None


@dataclass(frozen=True, kw_only=True)
class _Document:
    """What selfcheck.py writes."""

    format: int
    run: str
    run_key: str | None
    export_key: str
    precision: str
    processor: str
    system: str
    runtime: str
    provider: str
    threads: int
    python: str
    created: str
    passed: bool
    checks: tuple[_Check, ...]
    latency_ms: Mapping[str, Mapping[str, float]]
    answers: tuple[_Answer, ...]


def _read(file: Path) -> _Document:
    try:
        return from_json(_Document, json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(f"There is no file {file}.\nA self-check writes it: python selfcheck/selfcheck.py") from error
    except (OSError, ValueError, StoreError) as error:
        raise InputError(f"{file} is no self-check: {error}.\nExpected what selfcheck/selfcheck.py writes.") from error
