"""A base model made ready once for every training that starts from it: in a process of its own, kept in the store.

Making it takes more memory than training from it (a base model in four bits is read in full first), so the two never
share a process. `python -P -m slmcheck.training.prepared JOB.json` is that process; its exit status is that of
`slmcheck.training.child`.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Protocol, runtime_checkable

from slmcheck.errors import InputError, SlmcheckError
from slmcheck.records import DeviceClass, Json, Recipe

OUTPUT = "base"
FACTS = "preparation.json"
"""Beside the prepared weights: what making them took."""


@runtime_checkable
class BasePreparer(Protocol):
    """What a trainer offers beside `slmcheck.training.Trainer` if it trains from another form of the base model."""

    def preparation(self, recipe: Recipe, device: DeviceClass) -> Json:
        """What decides the prepared form, beside the base model itself."""
        ...

    def prepare_base(self, recipe: Recipe, base_model: str, device: DeviceClass, folder: Path) -> None:
        """Write the prepared form of the base model into a folder; a job then names it as `prepared_base`."""
        ...


def preparation_of(recipe: Recipe, device: DeviceClass) -> Json | None:
    """What decides the prepared base model of a recipe; None where its trainer takes the base model as it is."""
    from slmcheck.training.carry_out import find_trainer

    trainer = find_trainer(recipe.trainer)
    return trainer.preparation(recipe, device) if isinstance(trainer, BasePreparer) else None


def prepare_in_child(recipe: Recipe, work: Path, *, base_model: str, device: DeviceClass) -> Path:
    """Have the trainer of a recipe prepare its base model, in a child process; gives the folder.

    Args:
        recipe: The recipe.
        work: A folder for job, log and result.
        base_model: Folder of the base model, or hub id with `@revision`.
        device: Where it will be trained.

    Raises:
        InputError: If the base model cannot be prepared for this device.
        TrainingError: If the process ended without a result.
    """
    from slmcheck.training import jobs
    from slmcheck.training.launch import run_child

    (work / jobs.PUBLISH).mkdir(parents=True, exist_ok=True)
    job = jobs.write_job(work, recipe, (), (), base_model=base_model, device=device)
    run_child(
        job, recipe, device, base_model=base_model, module="slmcheck.training.prepared", result=work / OUTPUT / FACTS
    )
    return work / OUTPUT


def main(job_path: Path) -> int:
    """Prepare the base model of a job; gives the exit status."""
    from slmcheck.training import jobs

    work = job_path.parent
    try:
        _prepare(job_path)
    except SlmcheckError as error:
        traceback.print_exc()
        jobs.write_failure(work, jobs.Failure(error=type(error).__name__, message=str(error)))
        return 2 if isinstance(error, InputError) else 1
    return 0


def _prepare(job_path: Path) -> None:
    from slmcheck.training import jobs
    from slmcheck.training.carry_out import find_trainer
    from slmcheck.training.committed import write_durably
    from slmcheck.training.resources import peak_memory_bytes

    job, start = jobs.read_job(job_path), time.monotonic()
    folder = job_path.parent / OUTPUT
    folder.mkdir(exist_ok=True)
    trainer = find_trainer(job.recipe.trainer)
    assert isinstance(trainer, BasePreparer)
    trainer.prepare_base(job.recipe, job.base_model, job.device, folder)
    facts = {"peak_memory_bytes": peak_memory_bytes(), "seconds": time.monotonic() - start}
    write_durably(folder / FACTS, json.dumps(facts))


if __name__ == "__main__":
    from slmcheck.training.child import die_with_parent

    threading.Thread(target=die_with_parent, daemon=True).start()
    sys.exit(main(Path(sys.argv[1])))
