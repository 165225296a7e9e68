"""Running the command of a recipe and taking over what it leaves."""

from __future__ import annotations

import json
import resource
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from slmcheck.backends.checkpoint_files import PICKLED, check_weights
from slmcheck.errors import CheckpointError, RecipeError, TrainingError
from slmcheck.records import Checkpoint, Example, Json
from slmcheck.training import TrainingJob, finish_adapter, finish_model
from slmcheck.training.committed import Finished, read_finished, write_finished
from slmcheck.training.history import FILE_NAME, HistoryWriter
from slmcheck.training.processes import run_in_group
from slmcheck.training.resources import Clock
from slmcheck.training.traces import TrainingTrace, read_trace
from slmcheck_command import CommandOptions
from slmcheck_command.line import filled_in, settings_of
from slmcheck_command.weights import weights_problem

OUTPUT = "command"
"""Folder in the work folder that the command writes to."""
POLL_SECONDS = 0.5
SHOWN_LINES = 5


def run_command(job: TrainingJob, options: CommandOptions) -> Checkpoint:
    """Run the command and give the checkpoint that it left.

    Raises:
        RecipeError: If a placeholder has no value.
        TrainingError: If the command failed, or ended without a model that can be used.
    """
    if read_finished(job.checkpoints_dir) is not None:
        return _checkpoint(job)
    output = job.output_dir.parent / OUTPUT
    if not options.resume:
        shutil.rmtree(output, ignore_errors=True)
    for folder in (output, job.output_dir, job.checkpoints_dir):
        folder.mkdir(parents=True, exist_ok=True)
    command = _command(job, options, output)
    log = job.output_dir / "command.log"
    history, clock = HistoryWriter(job.output_dir / FILE_NAME, keep_until=None), Clock()
    history.write("start", {"engine": "command", "train_rows": len(job.train), "validation_rows": len(job.validation)})
    try:
        status, peak = _run(command, job, output, log, history)
        found = _found(output / options.checkpoint)
        if status != 0 or found is None:
            raise TrainingError(_failed(job, command, status, output / options.checkpoint, log))
        trace = read_trace(found)
        _take_over(found, job)
        _finish(history, trace, clock, peak)
    finally:
        history.close()
    checkpoint, last = _checkpoint(job), trace.last_step or 0
    write_finished(
        job.checkpoints_dir,
        Finished(last_step=last, best_step=trace.best_step or last, stopped_early=trace.stopped_early),
    )
    return checkpoint


def _command(job: TrainingJob, options: CommandOptions, output: Path) -> list[str]:
    rows = {"train": job.train, "validation": job.validation}
    files = {name: _write_rows(job.output_dir.parent / f"rows-{name}.jsonl", found) for name, found in rows.items()}
    values: dict[str, Json] = {
        **settings_of(job.recipe),
        **options.values,
        **{name: None if file is None else str(file) for name, file in files.items()},
        "base_model": job.base_model,
        "output_dir": str(output),
        "device": job.device,
    }
    try:
        return filled_in(options, values)
    except KeyError as error:
        name = error.args[0]
        why = "there are no validation rows" if name == "validation" else "the recipe leaves it out"
        raise RecipeError(
            f"{job.recipe.name}: options.command asks for {{{name}}}, and {why}.\n"
            f"Set {'data.validation' if name == 'validation' else name}, or remove it from the command."
        ) from error


def _write_rows(path: Path, examples: tuple[Example, ...]) -> Path | None:
    """Rows as training programs read them: the fields of the row, and `prompt`, `completion`, `text` and `messages`."""
    if not examples:
        return None
    with path.open("w", encoding="utf-8") as file:
        for example in examples:
            rendered: dict[str, Json] = {
                "prompt": example.prompt,
                "completion": example.answer,
                "text": example.prompt + example.answer,
            }
            if example.messages:
                rendered = {"messages": [dict(message) for message in example.messages]}
            file.write(json.dumps({**example.row, **rendered}, ensure_ascii=False) + "\n")
    return path


def _run(command: list[str], job: TrainingJob, output: Path, log: Path, history: HistoryWriter) -> tuple[int, int]:
    """Run to the end, passing on what the command's own history says; gives exit status and peak memory in bytes."""
    seen, peak = set[int](), 0
    with log.open("ab") as written:
        try:
            child = run_in_group(command, cwd=job.recipe.directory.resolve(), log=written)
        except OSError as error:
            raise RecipeError(
                f"{job.recipe.name}: the command cannot be started: {error.strerror}.\nCommand: {_line(command)}"
            ) from error
        try:
            while child.poll() is None:
                peak = max(peak, _peak_of(child.pid))
                _pass_on(read_trace(output), seen, history, job)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(POLL_SECONDS)
        finally:
            child.kill()
            child.wait()
    _pass_on(read_trace(output), seen, history, job)
    return child.returncode, peak


def _pass_on(trace: TrainingTrace, seen: set[int], history: HistoryWriter, job: TrainingJob) -> None:
    for point in trace.points:
        key = hash(replace(point, seconds=None))
        if key not in seen:
            seen.add(key)
            history.write_point("eval" if point.train_loss is None else "step", point)
            job.log_step(point)


def _found(place: Path) -> Path | None:
    """The folder with the trained model: the place itself, else its newest checkpoint folder."""
    numbered = [folder for folder in place.glob("checkpoint-*") if folder.name.removeprefix("checkpoint-").isdigit()]
    newest = sorted(numbered, key=lambda folder: -int(folder.name.removeprefix("checkpoint-")))
    for folder in (place, *newest):
        if (folder / "adapter_config.json").is_file() or (folder / "config.json").is_file():
            return folder
    return None


def _take_over(found: Path, job: TrainingJob) -> None:
    is_adapter = (found / "adapter_config.json").is_file()
    try:
        check_weights(found, "adapter_model" if is_adapter else "model")
        problem = weights_problem(found, job.base_model, is_adapter=is_adapter)
    except CheckpointError as error:
        raise TrainingError(f"{job.recipe.name}: the command left a model that cannot be used.\n{error}") from error
    if problem is not None:
        raise TrainingError(f"{job.recipe.name}: {problem}\nFolder: {found}")
    kept = job.output_dir / ("adapter" if is_adapter else "model")
    shutil.rmtree(kept, ignore_errors=True)
    ignored = shutil.ignore_patterns("checkpoint-*", "runs", "trainer_state.json", "*.log", *PICKLED)
    shutil.copytree(found, kept, ignore=ignored)


def _checkpoint(job: TrainingJob) -> Checkpoint:
    adapter = job.output_dir / "adapter"
    return finish_adapter(adapter, job) if adapter.is_dir() else finish_model(job.output_dir / "model", job)


def _finish(history: HistoryWriter, trace: TrainingTrace, clock: Clock, peak: int) -> None:
    if not trace.points:
        history.write("note", {"text": "The command left no trainer_state.json, so there are no curves."})
    for note in trace.notes:
        history.write("note", {"text": note})
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent: Mapping[str, Json] = {
        "seconds": clock.seconds(),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_bytes": peak or None,
    }
    history.write("resources", spent)
    end: Mapping[str, Json] = {
        "last_step": trace.last_step,
        "best_step": trace.best_step,
        "stopped_early": trace.stopped_early,
    }
    history.write("end", end)


def _peak_of(pid: int) -> int:
    """Peak resident size of a process in bytes; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _failed(job: TrainingJob, command: list[str], status: int, place: Path, log: Path) -> str:
    ended = f"ended with status {status}" if status else f"ended with status 0 and left no model in {place}"
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]
    said = "\n".join(f"  {line}" for line in tail) if tail else "  (nothing)"
    expected = (
        "" if status else "\nExpected adapter_config.json or config.json with safetensors there, or in checkpoint-N."
    )
    return (
        f"{job.recipe.name}: the command {ended}.{expected}\n"
        f"Command: {_line(command)}\nIt said last:\n{said}\nLog: {log}"
    )


def _line(command: list[str]) -> str:
    return shlex.join(command)
