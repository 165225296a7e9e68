"""A training job as files, so that a process of its own can carry it out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slmcheck.records import DeviceClass, Example, Recipe, from_json, to_json
from slmcheck.training.committed import write_durably

JOB = "job.json"
OUTCOME = "result.json"
FAILURE = "failure.json"
PUBLISH = "publish"
LOG = "train.log"


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """What the training process reads first."""

    recipe: Recipe
    base_model: str
    device: DeviceClass
    train: Path
    """Examples, one JSON object a line."""
    validation: Path
    prepared_base: Path | None = None
    version: int = 1


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A mistake in recipe, data or model that the training process found, or the kind of its end."""

    error: str
    """Name of the class in `slmcheck.errors`."""
    message: str


def write_job(
    work: Path,
    recipe: Recipe,
    train: Sequence[Example],
    validation: Sequence[Example],
    *,
    base_model: str,
    device: DeviceClass,
    prepared_base: Path | None = None,
) -> Path:
    """Write a job into its work folder; gives the file to start the process with."""
    job = JobFile(
        recipe=recipe,
        base_model=base_model,
        device=device,
        train=work / "train.jsonl",
        validation=work / "validation.jsonl",
        prepared_base=prepared_base,
    )
    _write_examples(job.train, train)
    _write_examples(job.validation, validation)
    for name in (OUTCOME, FAILURE):
        (work / name).unlink(missing_ok=True)
    write_durably(work / JOB, json.dumps(to_json(job), ensure_ascii=True))
    return work / JOB


def read_job(path: Path) -> JobFile:
    """The job of a work folder."""
    return from_json(JobFile, json.loads(path.read_text(encoding="utf-8")))


def read_examples(path: Path) -> tuple[Example, ...]:
    """Examples that `write_job` wrote."""
    with path.open(encoding="utf-8") as lines:
        return tuple(from_json(Example, json.loads(line)) for line in lines)


def write_failure(work: Path, failure: Failure) -> None:
    """Write why the process ends."""
    write_durably(work / FAILURE, json.dumps(to_json(failure)))


def read_failure(work: Path) -> Failure | None:
    """Why the process ended, if it could say."""
    path = work / FAILURE
    return from_json(Failure, json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _write_examples(path: Path, examples: Iterable[Example]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for example in examples:
            file.write(json.dumps(to_json(example), ensure_ascii=True) + "\n")
