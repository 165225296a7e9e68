"""Processes that build the same entries at once are killed at random moments; nothing damaged must ever be read."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slmcheck.storage import Store

STORM_SECONDS = 3.5
PROCESSES = 4
WORKER = Path(__file__).with_name("storm_worker.py")


@pytest.mark.parametrize("locks", ["locks", "no-op"])
def test_kill_9_at_any_moment_loses_no_entry(tmp_path: Path, locks: str) -> None:
    root = tmp_path / "store"
    root.mkdir()
    randomness = random.Random(1)
    started = 0

    def start() -> subprocess.Popen[bytes]:
        nonlocal started
        started += 1
        return subprocess.Popen([sys.executable, str(WORKER), str(root), str(started), locks], stderr=subprocess.PIPE)

    processes = [start() for _ in range(PROCESSES)]
    errors: list[str] = []
    kills = 0
    end = time.monotonic() + STORM_SECONDS
    while time.monotonic() < end:
        time.sleep(randomness.uniform(0.05, 0.25))
        place = randomness.randrange(PROCESSES)
        victim = processes[place]
        if victim.poll() is None:
            victim.send_signal(signal.SIGKILL)
            kills += 1
        _, text = victim.communicate()
        if victim.returncode not in (0, -signal.SIGKILL):
            errors.append(text.decode()[-500:])
        processes[place] = start()
    # Nobody is killed any more: all must finish, so no lock is stale.
    for process in processes:
        _, text = process.communicate(timeout=60)
        if process.returncode != 0:
            errors.append(text.decode()[-500:])

    store = Store(root)
    verified = store.check()
    assert errors == []
    assert kills > 5
    assert verified.damaged == ()
    assert verified.whole == 16
    # With working locks an entry is built once; the kill between publishing and counting can only lower the number.
    builds = len((root / "builds").read_text().splitlines())
    assert builds <= verified.whole if locks == "locks" else builds >= 1
