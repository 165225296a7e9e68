"""One of the processes of test_storm.py: builds entries that others build too, until it is killed or done."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from slmcheck.storage import Store, digest
from slmcheck.storage.entries import EntryName

FILES, PIECES, PIECE_BYTES = 4, 6, 20_000


def build(folder: Path, randomness: random.Random) -> None:
    for number in range(FILES):
        with (folder / f"weights-{number}.bin").open("wb") as file:
            for _ in range(PIECES):
                file.write(randomness.randbytes(PIECE_BYTES))
                file.flush()
                time.sleep(0.002)


def main(root: Path, seed: int, locks_work: bool) -> None:
    if not locks_work:
        import fcntl

        # What some network file systems do: every caller gets the lock.
        fcntl.flock = lambda *_: None  # type: ignore[assignment]
    randomness, store = random.Random(seed), Store(root)
    for step in range(30):
        inputs = {"recipe": randomness.randrange(4), "generation": step // 8}
        name = EntryName(kind="exports", key=digest("export", inputs))
        if store.entries.find(name, verify=True):
            continue
        with store.lock(f"exports-{name.key}"):
            if not store.entries.find(name, verify=True):
                store.entries.publish(name, lambda folder: build(folder, randomness), inputs)
                with (root / "builds").open("a") as file:
                    file.write("x\n")


main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "locks")
