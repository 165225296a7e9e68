"""Programs that a training process starts: they end with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_STARTED = threading.Event()


def run_in_group(command: Sequence[str], *, cwd: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a program in the group of this process, so that whoever ends the group ends it too.

    Args:
        command: The program and its arguments; no shell sees them.
        cwd: The folder in which it runs.
        log: Where both of its outputs go.

    Raises:
        OSError: If it cannot be started.
    """
    _STARTED.set()
    return subprocess.Popen(list(command), cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)


def end_group() -> None:
    """End what was started here, and this process, at once; nothing where no program was started."""
    if _STARTED.is_set() and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
