"""What a training leaves behind while it runs: its history, the record of its rows, what it took."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from slmcheck.records import Finding, HistoryPoint, Json, to_json
from slmcheck.training import history, rows
from slmcheck.training.committed import Finished, write_durably
from slmcheck.training.history import HistoryWriter
from slmcheck.training.resources import Clock, GpuUse, peak_memory_bytes, resident_bytes
from slmcheck.training.rows import RowRecord

STATE_NAME = "slmcheck_state.json"
RESOURCE_SECONDS = 2.0
"""How often memory and speed are noted."""


@dataclass(kw_only=True)
class Spent:
    """What a training took up to a checkpoint, over all its attempts."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    tokens: int = 0
    peak_memory_bytes: int = 0
    peak_gpu_memory_bytes: int = 0
    waited_seconds: float = 0.0
    """Time in which updates waited for their rows."""


class Recorder:
    """Writes the history and the record of rows, and restores them when a training is resumed."""

    def __init__(
        self,
        output_dir: Path,
        record: RowRecord,
        log_step: Callable[[HistoryPoint], None],
        *,
        peak_gpu: Callable[[], int],
        gpu: Callable[[], GpuUse | None] = lambda: None,
        resume_from: Path | None,
    ) -> None:
        """Open the files.

        Args:
            output_dir: Where the files lie.
            record: The record of rows, empty.
            log_step: Called with each point after it is written.
            peak_gpu: Gives the peak memory of the GPU in bytes, 0 without one.
            gpu: Gives what the GPU does now, None without one.
            resume_from: The checkpoint at which training goes on.
        """
        self.record = record
        self._rows_path = output_dir / rows.FILE_NAME
        self._log_step, self._peak_gpu, self._gpu = log_step, peak_gpu, gpu
        before, step = Spent(), None
        if resume_from is not None:
            saved = json.loads((resume_from / STATE_NAME).read_text(encoding="utf-8"))
            before, step = Spent(**saved["spent"]), int(saved["step"])
            record.restore(resume_from / rows.FILE_NAME)
        self._before = before
        self._clock = Clock(seconds_before=before.seconds, cpu_seconds_before=before.cpu_seconds)
        self.tokens = before.tokens
        self.waited_seconds = before.waited_seconds
        self._writer = HistoryWriter(output_dir / history.FILE_NAME, keep_until=step)
        self._noted = 0.0

    def start(self, fields: dict[str, Json]) -> None:
        """Note what is about to be done, once a training."""
        self._writer.write("start", fields)

    def note(self, text: str) -> None:
        """Write a sentence that the result carries on."""
        self._writer.write("note", {"text": text})

    def finding(self, finding: Finding, *, after: bool = False) -> None:
        """Write what a check found, before the first update or after the last."""
        self._writer.write("finding", {"finding": to_json(finding), "after": after or None})

    def update(
        self, step: int, epoch: float, *, loss: float, learning_rate: float, gradient_norm: float | None
    ) -> None:
        """Note an update, or the mean of the updates since the last note."""
        point = HistoryPoint(
            step=step,
            epoch=epoch,
            train_loss=loss,
            learning_rate=learning_rate,
            gradient_norm=gradient_norm,
            seconds=self._clock.seconds(),
        )
        self._writer.write_point("step", point)
        self._log_step(point)
        if self._clock.seconds() - self._noted >= RESOURCE_SECONDS:
            self._noted = self._clock.seconds()
            self._note_resources(step)

    def evaluation(self, step: int, epoch: float, *, validation_loss: float | None, subset_loss: float | None) -> None:
        """Note an evaluation."""
        point = HistoryPoint(
            step=step,
            epoch=epoch,
            validation_loss=validation_loss,
            train_subset_loss=subset_loss,
            seconds=self._clock.seconds(),
        )
        self._writer.write_point("eval", point)
        self._log_step(point)

    def save(self, folder: Path, step: int) -> None:
        """Put into a checkpoint what the record needs to go on from there."""
        self.record.save(folder / rows.FILE_NAME)
        state = {"step": step, "spent": asdict(self.spent())}
        write_durably(folder / STATE_NAME, json.dumps(state))

    def spent(self) -> Spent:
        """What the training took so far."""
        return Spent(
            seconds=self._clock.seconds(),
            cpu_seconds=self._clock.cpu_seconds(),
            tokens=self.tokens,
            waited_seconds=self.waited_seconds,
            peak_memory_bytes=max(self._before.peak_memory_bytes, peak_memory_bytes() or 0),
            peak_gpu_memory_bytes=max(self._before.peak_gpu_memory_bytes, self._peak_gpu()),
        )

    def finish(self, finished: Finished) -> None:
        """Write the record of rows, the last resources and the end of the history."""
        self.record.save(self._rows_path)
        self._note_resources(finished.last_step)
        self._writer.write("end", asdict(finished))

    def close(self) -> None:
        """Close the history."""
        self._writer.close()

    def _note_resources(self, step: int) -> None:
        spent, gpu = self.spent(), self._gpu()
        self._writer.write(
            "resources",
            {
                "step": step,
                **asdict(spent),
                "resident_bytes": resident_bytes(),
                "gpu_utilisation": None if gpu is None else gpu.utilisation,
                "gpu_bytes": None if gpu is None else gpu.allocated_bytes,
                "tokens_per_second": spent.tokens / spent.seconds if spent.seconds else None,
                "tokens_per_cpu_second": spent.tokens / spent.cpu_seconds if spent.cpu_seconds else None,
            },
        )
