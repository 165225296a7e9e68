"""A process of another interpreter that asks a checkpoint: `OTHER -m slmcheck.studies.answering JOB.json OUT.json`.

It has the same slmcheck and other libraries. Nothing that it predicts enters the store of the project: rows there are
told apart by what was asked, and what differs here is who answers.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from slmcheck.records import (
    Checkpoint,
    DeviceClass,
    Environment,
    Example,
    Prediction,
    PredictionKind,
    Recipe,
    from_json,
    to_json,
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the process is asked."""

    checkpoint: Checkpoint
    examples: tuple[Example, ...]
    kind: PredictionKind
    recipe: Recipe
    device: DeviceClass | None
    store: Path
    """An empty folder for a store of its own."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What it answers."""

    predictions: tuple[Prediction, ...]
    environment: Environment


def answer(question: Question) -> Answer:
    """Ask the checkpoint in this process.

    Raises:
        PredictionError: If the model cannot be evaluated on the examples.
        CheckpointError: If its weights cannot be used.
    """
    from slmcheck import pipeline
    from slmcheck.backends.environment import expected_environment, worker_threads
    from slmcheck.storage import Store
    from slmcheck.workspace import Workspace

    workspace = Workspace(root=question.store, store=Store(question.store), device=question.device)
    predictions = pipeline.predict(question.checkpoint, question.examples, question.kind, question.recipe, workspace)
    environment = expected_environment(question.checkpoint, device=question.device, threads=worker_threads())
    return Answer(predictions=predictions, environment=environment)


def main(job: Path, out: Path) -> int:
    """Read a question, write the answer; gives the exit status."""
    from slmcheck.errors import SlmcheckError

    question = from_json(Question, json.loads(job.read_text(encoding="utf-8")))
    try:
        answered = answer(question)
    except SlmcheckError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    out.write_text(json.dumps(to_json(answered)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
