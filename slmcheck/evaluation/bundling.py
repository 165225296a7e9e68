"""A bundle: one archive with a report and all that its scores and verdicts were computed from.

It is made where the session ran or where its store was brought to, from the report and from the store; nothing is
trained, predicted or measured. What changed since the session is refused: then the report speaks of other things.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from slmcheck import parity, reports
from slmcheck.data.sources import parse_source
from slmcheck.errors import InputError, SlmcheckError
from slmcheck.evaluation.baseline import FOLDER
from slmcheck.evaluation.evidence import DOCUMENT, NotRecomputableError, Tables, side_document
from slmcheck.evaluation.held import ONNX, HeldScore, held_scores
from slmcheck.evaluation.keys import keys_of
from slmcheck.evaluation.opening import recipe_meant
from slmcheck.evaluation.run import Run, open_recipe
from slmcheck.gates import MetricInfo, Score, ScoreSource
from slmcheck.gates.evidence import Evidence, Measurement
from slmcheck.metrics import METRICS
from slmcheck.metrics.definition import MEAN_COLUMNS, mean_of_sum
from slmcheck.records import Checkpoint, Json, Recipe, Report, RunReport, to_json
from slmcheck.reports.archive import archive_of
from slmcheck.reports.json import FILE_NAME as REPORT
from slmcheck.reports.json import render
from slmcheck.reports.statement import FILE_NAME as STATEMENT
from slmcheck.reports.statement import statement_text
from slmcheck.storage import environment_digest, this_origin
from slmcheck.storage.baselines import examples_path, header_path
from slmcheck.storage.entries import MANIFEST, read_manifest
from slmcheck.storage.files import disk_errors, sha256_of_file, write_whole
from slmcheck.storage.waivers import waiver_paths
from slmcheck.workspace import Workspace

BUNDLE = "bundle.tar"
SCORES, KEYS, MATERIALS, ENVIRONMENT, VERSIONS = (
    "scores.json", "keys.json", "materials.json", "environment.json", "versions.txt",
)  # fmt: skip
VERDICTS, TABLES = "verdicts", "tables"


def bundle(folder: Path, output: Path | None, workspace: Workspace) -> Path:
    """Write the bundle of a report.

    Args:
        folder: Where its report.json lies.
        output: The archive, or a folder for it; None puts it beside report.json.
        workspace: The project of the report, with the store that the session used.

    Raises:
        InputError: If the report names a run whose recipe is gone or changed, or speaks of verdicts whose statistics
            are not in the store.
        StoreError: If the disk refuses.
    """
    report = reports.read_report(folder)
    files = files_of_bundle(report, replace(workspace, offline=True, retrain=False, on_progress=None))
    target = folder if output is None else output
    if target.is_dir() or not target.suffix:
        target = target / BUNDLE
    with disk_errors(target.parent, f"writing {target.name}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, archive_of(files), scratch=target.parent)
    return target


def files_of_bundle(report: Report, workspace: Workspace) -> dict[str, bytes]:
    """Every file of a bundle by name; equal reports and stores give equal bytes.

    Raises:
        InputError: As `bundle`.
    """
    runs = [_opened(found, workspace) for found in report.runs]
    files: dict[str, bytes] = {REPORT: render(report).encode()}
    files |= _verdict_files(report, workspace)
    tables = Tables({})
    scores = [item for run in runs for item in _score_documents(run, tables)]
    files |= {f"{TABLES}/{name}": content for name, content in tables.files.items()}
    committed = {run.recipe.name: _committed(run.recipe, workspace.root) for run in runs}
    for run in runs:
        for name, path in committed[run.recipe.name].items():
            if run.disclosure.level == "full" or _tells_no_answer(path):
                files[name] = path.read_bytes()
    materials = {"runs": [_materials(run, committed[run.recipe.name], workspace) for run in runs]}
    files |= {
        SCORES: _json(scores),
        KEYS: _json({run.recipe.name: _keys(run) for run in runs}),
        MATERIALS: _json(materials),
        ENVIRONMENT: _json(_environment(report)),
        VERSIONS: _versions().encode(),
    }
    files[STATEMENT] = statement_text(report, materials, files)
    return files


def _opened(found: RunReport, workspace: Workspace) -> Run:
    try:
        recipe = recipe_meant(found.name, workspace)
        key = keys_of(recipe, workspace)[0]
        run = open_recipe(recipe, workspace, seeds=found.seeds) if key == found.key else None
    except SlmcheckError as error:
        raise InputError(
            f"The report's run '{found.name}' cannot be opened any more: {str(error).splitlines()[0]}\n"
            "A bundle needs the recipe, its rows and the store that the session used.\n"
            "Make it where the session ran, or pull the store (slmcheck cache pull)."
        ) from error
    if run is None:
        raise InputError(
            f"The recipe or the rows of '{found.name}' changed since the report was written: its run key was "
            f"{found.key[:12]}, now it is {key[:12]}.\n"
            f"Check out what the report is of, or run the suites again. What differs: "
            f"slmcheck cache why {found.key[:12]} {found.name}"
        )
    return run


def _verdict_files(report: Report, workspace: Workspace) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    lost = []
    for key in dict.fromkeys(found.evidence for found in report.verdicts if found.evidence):
        stored = workspace.store.read_evidence(key)
        if stored is None:
            lost.append(key)
            continue
        for name, content in stored.items():
            files[f"{VERDICTS}/{key}.json" if name == DOCUMENT else f"{TABLES}/{name}"] = content
    if lost:
        raise InputError(
            f"The store lacks what {len(lost)} verdicts of the report were judged from ({lost[0][:12]}).\n"
            f"Store: {workspace.store.root}.\n"
            "Make the bundle where the session ran, or pull its store (slmcheck cache pull), or run the suites again."
        )
    return files


# Scores


def _score_documents(run: Run, tables: Tables) -> Iterator[dict[str, Json]]:
    """The scores that the report shows of a run, with the names of their tables; custom functions are left out."""
    for place, name, score in _scores(run):
        try:
            document = side_document(score.measurement, tables)
        except NotRecomputableError:
            continue
        yield {"run": run.recipe.name, "place": place, "name": name, "score": document}


def _scores(run: Run) -> Iterator[tuple[str, str, Score]]:
    for held in held_scores(run):
        if held.variant.startswith(ONNX):
            name = f"{held.variant.removeprefix(ONNX)} {held.metric}"
            yield "parity", name, _of_held(held, run)
        elif not held.variant and held.split != "train":
            yield "scores", held.metric, _of_held(held, run)
    try:
        base = run.base
    except SlmcheckError:
        base = None  # it has none, or its weights are not here: the report shows none either
    for name, metric in METRICS[run.recipe.task].items():
        if base is not None and base.holds(metric):
            yield "base_scores", name, base.score_of(metric, "evaluation")
        if run.holds(metric) and run.holds(metric, "train"):
            yield "gaps", name, run.gap(name)


def _of_held(held: HeldScore, run: Run) -> Score:
    """A stored score, ready to be judged."""
    stored, record = held.stored, held.record
    known = METRICS[run.recipe.task].get(held.metric)
    if held.metric in parity.SCORES:
        info, function = parity.SCORES[held.metric].info, parity.SCORES[held.metric].value_of_sum
    elif known is not None:
        info, function = known.info, known.value_of_sum
    else:
        info = MetricInfo(name=held.metric, unit=record.unit, higher_is_better=record.higher_is_better)  # type: ignore[arg-type]
        function = mean_of_sum if stored.columns == MEAN_COLUMNS else None
    if function is None:
        function = mean_of_sum
    source = ScoreSource(
        name=run.name,
        run_key=run.key,
        checkpoint_key=run.checkpoint.key,
        task=run.recipe.task,
        split=held.split,
        slice=held.slice,
        disclosure=run.disclosure,
    )
    evidence = Evidence(
        example_ids=stored.ids,
        statistics=stored.statistics,
        columns=stored.columns,
        value_of_sum=function,
        groups=stored.groups,
        reference_hashes=stored.reference_hashes,
    )
    return Score.of(Measurement(value=stored.value, metric=info, source=source, evidence=evidence))


# What was tested, where, and with what


def _keys(run: Run) -> Json:
    return {
        "run": run.key,
        "seeds": [record.key for record in run.records],
        "checkpoint": run.checkpoint.key,
        "environment": environment_digest(run.environment),
    }


def _materials(run: Run, committed: Mapping[str, Path], workspace: Workspace) -> dict[str, Any]:
    recipe = run.recipe
    digests = [{"name": name, "sha256": sha256_of_file(path)} for name, path in committed.items()]
    return {
        "name": recipe.name,
        "run": run.key,
        "checkpoint": run.checkpoint.key,
        "made_by": to_json(_origin(run)),
        "weights": _weights(run.checkpoint, run),
        "recipe": [{"name": name, "sha256": sha} for name, sha in _own_file(recipe, workspace.root)],
        "data": list(_data(recipe, workspace)),
        "baselines": [item for item in digests if item["name"].startswith(f"{FOLDER}/")],
        "waivers": [item for item in digests if not item["name"].startswith(f"{FOLDER}/")],
    }


def _weights(checkpoint: Checkpoint, run: Run) -> list[dict[str, str]]:
    """The files of the weights with their hashes, as the store's manifest has them; or the file of predictions."""
    if checkpoint.path.is_file():
        return [{"name": checkpoint.path.name, "sha256": sha256_of_file(checkpoint.path)}]
    try:
        manifest = read_manifest(run.record.directory)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []
    inside = os.path.relpath(checkpoint.path, run.record.directory)
    start = "" if inside == "." else f"{inside}/"
    return [
        {"name": name, "sha256": stored.sha256}
        for name, stored in sorted(manifest.files.items())
        if name.startswith(start) and name.endswith((".safetensors", ".json", ".model", ".onnx", ".data"))
    ]


def _origin(run: Run) -> object:
    if not (run.record.directory / MANIFEST).is_file():
        return None
    try:
        return read_manifest(run.record.directory).origin
    except ValueError:
        return None


def _own_file(recipe: Recipe, root: Path) -> Iterator[tuple[str, str]]:
    if recipe.path is not None and recipe.path.is_file():
        yield _relative(recipe.path, root), sha256_of_file(recipe.path)


def _data(recipe: Recipe, workspace: Workspace) -> Iterator[dict[str, Json]]:
    """Local files with their hashes; data sets of a hub with the commit that they are pinned to."""
    validation = recipe.data.validation
    named = [*_texts(recipe.data.train), *_texts(validation), *_texts(recipe.data.test)]
    for text in dict.fromkeys(named):
        source = parse_source(text, recipe.directory)
        if source.path is not None:
            yield {"name": _relative(source.path, workspace.root), "sha256": workspace.store.file_digest(source.path)}
        else:
            yield {"name": text, "identity": {"repository": source.repository, "revision": source.revision}}


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, Sequence) else []


def _committed(recipe: Recipe, root: Path) -> dict[str, Path]:
    """The accepted baselines and the waivers of a recipe, by their name in the bundle."""
    suite, _, stem = recipe.name.rpartition("/")
    found: dict[str, Path] = {}
    for name in (stem, f"{stem}.anchor"):
        for path in (
            header_path(recipe.directory / FOLDER, name),
            examples_path(recipe.directory / FOLDER, name),
        ):
            if path.is_file():
                found[f"{FOLDER}/{suite or '.'}/{path.name}".replace("/./", "/")] = path
    for path in waiver_paths(recipe.directory):
        found[f"waivers/{suite or '.'}/{path.name}".replace("/./", "/")] = path
    return found


def _tells_no_answer(path: Path) -> bool:
    """Whether a committed file may be in the bundle of a suite that hides its examples: one without answers in full."""
    return path.suffix != ".jsonl" or b'"answer":' not in path.read_bytes()


def _environment(report: Report) -> Json:
    return {
        "session": to_json(report.environment),
        "runs": {run.name: to_json(run.environment) for run in report.runs},
        "git": dict(report.git),
        "made_by": to_json(this_origin()),
    }


def _versions() -> str:
    """Every installed distribution with its version, as `pip install -r` reads it."""
    found = {str(item.metadata["Name"]).lower(): item.version for item in distributions() if item.metadata["Name"]}
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))


def _relative(path: Path, root: Path) -> str:
    absolute = Path(os.path.normpath(path.absolute()))
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else absolute.name


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()
