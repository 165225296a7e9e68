"""The training process: `python -P -m slmcheck.training.child JOB.json`.

Its standard input is a pipe that the parent holds open: at its end the parent is gone, and so is this process, at once
and without a word; training resumes from the last committed checkpoint. Exit status: 0 done, 1 the work failed, 2 what
the user wrote must change, 75 the parent is gone.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from pathlib import Path

from slmcheck.errors import InputError, SlmcheckError

PARENT_GONE = 75
_STANDARD_INPUT = 0


def main(job_path: Path) -> int:
    """Carry out a job; gives the exit status."""
    from slmcheck.training import jobs

    work = job_path.parent
    try:
        _train(job_path)
    except SlmcheckError as error:
        traceback.print_exc()
        jobs.write_failure(work, jobs.Failure(error=type(error).__name__, message=str(error)))
        return 2 if isinstance(error, InputError) else 1
    return 0


def _train(job_path: Path) -> None:
    from slmcheck.training import jobs
    from slmcheck.training.carry_out import carry_out
    from slmcheck.training.protocol import TrainingJob

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # peft imports it, and it announces what it looked for
    job_file, work = jobs.read_job(job_path), job_path.parent
    carry_out(
        TrainingJob(
            recipe=job_file.recipe,
            train=jobs.read_examples(job_file.train),
            validation=jobs.read_examples(job_file.validation),
            base_model=job_file.base_model,
            prepared_base=job_file.prepared_base,
            output_dir=work / jobs.PUBLISH,
            device=job_file.device,
            log_step=lambda point: None,
        )
    )


def die_with_parent() -> None:
    """Wait until the parent is gone; then end this process and what it started."""
    from slmcheck.training.processes import end_group

    while os.read(_STANDARD_INPUT, 1024):  # gives nothing once the parent's end is closed, that is when it is gone
        pass
    end_group()
    os._exit(PARENT_GONE)


if __name__ == "__main__":
    threading.Thread(target=die_with_parent, daemon=True).start()
    sys.exit(main(Path(sys.argv[1])))
