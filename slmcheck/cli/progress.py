"""One line on standard error that says how a training goes, where a person watches."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable

from slmcheck.cli.output import duration
from slmcheck.records import HistoryPoint, Recipe

_SECONDS_BETWEEN = 0.2
_NAMES = (("loss", "train_loss"), ("validation", "validation_loss"))


def progress_line() -> Callable[[Recipe, HistoryPoint], None] | None:
    """A function that shows a point of the history; None where nobody watches."""
    if not sys.stderr.isatty():
        return None
    return ProgressLine(sys.stderr.write, shutil.get_terminal_size().columns, time.monotonic)


class ProgressLine:
    """Rewrites one line with step, losses and remaining time."""

    def __init__(self, write: Callable[[str], object], width: int, clock: Callable[[], float]) -> None:
        self._write = write
        self._width = width
        self._clock = clock
        self._last = float("-inf")
        self._losses: dict[str, float] = {}

    def __call__(self, recipe: Recipe, point: HistoryPoint) -> None:
        """Show a point."""
        if point.step == 0:
            self._losses = {}
        for label, name in _NAMES:
            value = getattr(point, name)
            if value is not None:
                self._losses[label] = value
        total: int | None = getattr(point, "total_steps", None)
        is_last = total is not None and point.step >= total and point.validation_loss is not None
        if self._clock() - self._last < _SECONDS_BETWEEN and not is_last:
            return
        self._last = self._clock()
        room = self._width - 1
        self._write("\r" + self._text(recipe, point, total)[:room].ljust(room) + ("\n" if is_last else ""))
        sys.stderr.flush()

    def _text(self, recipe: Recipe, point: HistoryPoint, total: int | None) -> str:
        parts = [f"training {recipe.name}: step {point.step}" + (f"/{total}" if total else "")]
        parts += [f"{label} {value:.3f}" for label, value in self._losses.items()]
        left: float | None = getattr(point, "seconds_left", None)
        return ", ".join(parts + ([f"{duration(left)} left"] if left else []))
