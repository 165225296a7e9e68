"""One line that says how a training goes, where a person watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from slmcheck.records import Recipe
from slmcheck.training import TrainingProgress

_SECONDS_BETWEEN_LINES = 0.2


class ProgressLine:
    """Rewrites one line of the terminal; capture is suspended while it is written."""

    def __init__(self, write: Callable[[str], None], width: int) -> None:
        self._write = write
        self._width = width
        self._last = 0.0
        self._losses: dict[str, float] = {}

    def __call__(self, recipe: Recipe, point: TrainingProgress) -> None:
        """Show a point of the history."""
        if point.step == 0:
            self._losses = {}
        for name, value in (("loss", point.train_loss), ("validation", point.validation_loss)):
            if value is not None:
                self._losses[name] = value
        is_last = (
            point.total_steps is not None and point.step >= point.total_steps and point.validation_loss is not None
        )
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN_LINES and not is_last:
            return
        self._last = now
        text = describe(recipe.name, point, self._losses)
        self._write("\r" + text[: self._width - 1].ljust(self._width - 1) + ("\n" if is_last else ""))


def describe(name: str, point: TrainingProgress, losses: Mapping[str, float]) -> str:
    """The text of the line: name, step, losses, remaining time."""
    parts = [f"training {name}: step {point.step}" + (f"/{point.total_steps}" if point.total_steps else "")]
    parts += [f"{label} {value:.3f}" for label, value in losses.items()]
    if point.seconds_left:
        parts.append(f"{_duration(point.seconds_left)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )


def progress_for(config: pytest.Config) -> ProgressLine | None:
    """The progress line of a session; None where nobody watches: no terminal, an xdist worker, or -q twice."""
    if not sys.__stderr__ or not sys.__stderr__.isatty():
        return None
    write = _writer(config)
    if write is None:
        return None
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    return ProgressLine(write, terminal._tw.fullwidth)


def tell_for(config: pytest.Config) -> Callable[[str], None]:
    """A function that writes a line to the terminal of a session while a fixture works; silent where there is none."""
    write = _writer(config)
    return (lambda text: None) if write is None else (lambda text: write(f"\nslmcheck: {text}\n"))


def _writer(config: pytest.Config) -> Callable[[str], None] | None:
    """Writes to the terminal with capture suspended; None in an xdist worker and with -q twice."""
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(config, "workerinput") or terminal is None or config.option.verbose < -1:
        return None

    def write(text: str) -> None:
        if capture is None:
            terminal.write(text, flush=True)
            return
        with capture.global_and_fixture_disabled():
            terminal.write(text, flush=True)

    return write
