"""kill -9 at any moment of a session: the next one goes on, and ends with the weights of an uninterrupted training."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.project import Project, verified
from tests.mood import Trained, write_suite, write_tests

TEST = "def test_history(run):\n    assert run.history[-1].step == 8\n"


def weights(store: Path) -> str:
    """The hash of the adapter of the one run of a store."""
    (file,) = store.glob("runs/*/*/*/adapter/*.safetensors")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def child_of(project: Project, started: set[str]) -> int | None:
    """The training process that was started since."""
    new = {path.name for path in project.seen.iterdir()} - started
    return int(new.pop()) if new else None


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(holds: Callable[[], bool], *, seconds: float = 120.0) -> None:
    """Wait until something holds; fail when it takes too long."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def committed(project: Project) -> int:
    """The step of the newest checkpoint of the training under way; 0 before the first."""
    markers = project.store_path.glob("work/*/checkpoints/checkpoint-*/COMMITTED")
    return max((int(marker.parent.name.removeprefix("checkpoint-")) for marker in markers), default=0)


def interrupted(project: Project, moment: Callable[[], bool], *, victim: str) -> tuple[str, bool]:
    """Start a session, kill the training process or the session itself at a moment.

    Gives what the session said, and whether there was still something to kill.
    """
    started = {path.name for path in project.seen.iterdir()}
    session = project.start("-m", "pytest", "mood")
    try:
        wait_until(lambda: child_of(project, started) is not None or session.poll() is not None)
        child = child_of(project, started)
        wait_until(lambda: moment() or session.poll() is not None)
        assert child is not None
        was_in_time = session.poll() is None and is_alive(child)
        if was_in_time:
            os.kill(child if victim == "child" else session.pid, signal.SIGKILL)
        out, err = session.communicate(timeout=120)
        wait_until(lambda: not is_alive(child), seconds=30)
    finally:
        ended(session)
    return out + err, was_in_time


def ended(session: subprocess.Popen[str]) -> None:
    """Leave no process behind when a test fails."""
    if session.poll() is None:
        session.kill()
        session.communicate()


@pytest.fixture
def untrained(project: Project) -> Iterator[Project]:
    """The suite of two moods with an empty store."""
    write_suite(project.root / "mood")
    write_tests(project.root, TEST)
    return project


def test_a_killed_training_and_a_killed_session_resume_to_the_same_weights(
    untrained: Project, trained: Trained
) -> None:
    text, _ = interrupted(untrained, lambda: committed(untrained) >= 2, victim="child")
    assert "mood/lora: training was killed by SIGKILL." in text
    assert "Run the same command again to go on from update" in text
    assert "Traceback" not in text
    before = committed(untrained)
    interrupted(untrained, lambda: committed(untrained) > before, victim="session")
    assert not untrained.runs()
    ran = untrained.pytest("mood")
    assert ran.status == 0, ran.text
    assert untrained.trainings == 3
    assert weights(untrained.store_path) == weights(trained.store)
    assert verified(untrained)
    assert not list(untrained.store_path.glob("work/*"))


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["child", "session"])
def test_ten_kills_at_random_moments_change_nothing(untrained: Project, trained: Trained, victim: str) -> None:
    draw, kills = random.Random(victim), 0
    while kills < 10:
        after = time.monotonic() + draw.uniform(0.0, 10.0)
        _, was_in_time = interrupted(untrained, lambda after=after: time.monotonic() >= after, victim=victim)
        kills += was_in_time
        if untrained.runs():  # it came through: judged, then everything begins anew
            assert weights(untrained.store_path) == weights(trained.store)
            shutil.rmtree(untrained.store_path)
    ran = untrained.pytest("mood")
    assert ran.status == 0, ran.text
    assert weights(untrained.store_path) == weights(trained.store)
    assert verified(untrained)
