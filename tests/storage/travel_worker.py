"""Pushes and pulls that are killed: started once, it forks a child for each, so that a kill takes milliseconds.

Usage: travel_worker.py STORE SCRATCH push|pull PLACES SEED, two kills a place; prints what went wrong, one line each,
then `done N`, N being the kills that met a child at work.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from slmcheck.storage import Store
from slmcheck.storage.entries import ENTRY_KINDS, MANIFEST, manifest_of
from slmcheck.storage.files import sha256_of_file
from slmcheck.storage.remote import FolderRemote
from slmcheck.storage.travel import HOME, Moved


def move(way: str, store: Path, remote: Path) -> Moved:
    chosen, place = Store(store), FolderRemote(remote)
    return chosen.push(place) if way == "push" else chosen.pull(place)


def corrupt_on(remote: Path) -> list[str]:
    """What of a remote is not what its name or its manifest says."""
    home, found = remote / HOME, []
    for path in home.glob("files/??/*"):
        if not path.name.endswith(".unfinished") and sha256_of_file(path) != path.name:
            found.append(f"{path.name} has other bytes")
    for kind in ENTRY_KINDS:
        for path in (home / kind).rglob(MANIFEST):
            for stored in manifest_of(path.read_bytes()).files.values():
                if not (home / "files" / stored.sha256[:2] / stored.sha256).is_file():
                    found.append(f"{path} names a file that is not there")
    return found


def killed(way: str, store: Path, remote: Path, after_seconds: float) -> bool:
    """Kill a child that moves entries; whether it was still at work."""
    child = os.fork()
    if child == 0:
        try:
            move(way, store, remote)
        except BaseException as error:
            print(f"the child failed: {error!r}", flush=True)
        os._exit(0)
    time.sleep(after_seconds)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(full: Path, scratch: Path, way: str, places: int, seed: int) -> None:
    randomness, met = random.Random(seed), 0
    pushed = scratch / "pushed"
    pushed.mkdir(parents=True)
    started = time.monotonic()
    everything = move("push", full, pushed)
    if way == "pull":
        started = time.monotonic()
        move("pull", scratch / "first", pushed)
    usual = time.monotonic() - started
    for number in range(places):
        place = scratch / f"{way}-{number}"
        place.mkdir()
        store, remote = (full, place) if way == "push" else (place, pushed)
        for _ in range(2):  # the second one goes on with what the first one left
            met += killed(way, store, remote, randomness.uniform(0.0, usual))
        problems = corrupt_on(remote) + list(Store(store).check().damaged)
        first, second = move(way, store, remote), move(way, store, remote)
        problems += corrupt_on(remote) + list(Store(store).check().damaged) + list(first.damaged)
        if len(first.moved) + first.already_there != len(everything.moved) or second.moved:
            problems.append(f"{first} then {second}, of {len(everything.moved)} entries")
        for problem in problems:
            print(problem, flush=True)
        shutil.rmtree(place)
    print(f"done {met}", flush=True)


main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
