"""The same weights asked by another interpreter, whose libraries differ: their effect without any training."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import slmcheck
from slmcheck.errors import InputError, PredictionError
from slmcheck.evaluation import Run, default_kind
from slmcheck.records import Environment, Prediction, PredictionKind, from_json, to_json
from slmcheck.studies.answering import Answer, Question

_TAIL_LINES = 3


def predictions_of_other(
    run: Run, python: str, *, kind: PredictionKind | None = None
) -> tuple[tuple[Prediction, ...], Environment]:
    """What the weights of a run answer to its evaluation split under another interpreter, and under which libraries.

    The other interpreter is given this slmcheck; it needs slmcheck's own dependencies and the model libraries.

    Args:
        run: The run; of its first seed where there are several.
        python: Path or name of the interpreter.
        kind: What the model is asked; None takes what the task asks first.

    Raises:
        InputError: If there is no such interpreter, or it lacks a library.
        PredictionError: If the model could not be asked there.
    """
    found = shutil.which(python)
    if found is None:
        raise InputError(
            f"There is no interpreter '{python}'.\nName a Python that has the other libraries: --python PATH/bin/python"
        )
    with tempfile.TemporaryDirectory(prefix="slmcheck-other-") as name:
        folder = Path(name)
        # Only this package, not the folder around it: that may hold the very libraries that are to differ.
        (folder / "code").mkdir()
        (folder / "code" / "slmcheck").symlink_to(Path(slmcheck.__file__).parent, target_is_directory=True)
        question = Question(
            checkpoint=run.checkpoint,
            examples=run.examples(),
            kind=kind or default_kind(run.recipe),
            recipe=run.recipe,
            device=run.workspace.device,
            store=folder / "store",
        )
        job, out = folder / "job.json", folder / "answer.json"
        job.write_text(json.dumps(to_json(question)), encoding="utf-8")
        paths = [str(folder / "code"), *filter(None, [os.environ.get("PYTHONPATH", "")])]
        ended = subprocess.run(
            [found, "-m", "slmcheck.studies.answering", str(job), str(out)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if ended.returncode != 0 or not out.is_file():
            raise _error(python, ended.returncode, ended.stderr)
        answered = from_json(Answer, json.loads(out.read_text(encoding="utf-8")))
    return answered.predictions, answered.environment


def _error(python: str, status: int, text: str) -> InputError | PredictionError:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    tail = "\n".join(lines[-_TAIL_LINES:]) or f"exit status {status}, and nothing was said"
    if lines and lines[-1].startswith(("ModuleNotFoundError", "ImportError")):
        return InputError(
            f"The interpreter '{python}' cannot run slmcheck: {lines[-1]}\n"
            f"Install what is missing there: {python} -m pip install 'slmcheck[train]'"
        )
    return PredictionError(f"The interpreter '{python}' could not ask the model.\n{tail}")
