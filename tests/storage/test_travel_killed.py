"""A push or a pull is killed at random moments: nothing is corrupt, and the next one ends the work."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from slmcheck.records import Environment, PredictedRow
from slmcheck.storage import Store
from tests.storage.conftest import PublishRun

WORKER = Path(__file__).with_name("travel_worker.py")
KILLS = 20


@pytest.mark.slow
@pytest.mark.parametrize("way", ["push", "pull"])
def test_kill_9_at_20_random_moments_corrupts_nothing(
    store: Store, publish_run: PublishRun, cpu: Environment, tmp_path: Path, way: str
) -> None:
    randomness = random.Random(0)
    for seed in range(2):
        publish_run(seed=seed)
        folder = tmp_path / f"export-{seed}"
        folder.mkdir()
        for number in range(2):
            (folder / f"weights-{number}.bin").write_bytes(randomness.randbytes(200_000))
        store.publish_export(f"{seed:064x}", folder)
        rows = [PredictedRow(row=f"{seed}-{number:060x}", text="glad") for number in range(20)]
        store.predictions(f"{seed + 16:064x}").add(rows, cpu)
    command = [sys.executable, str(WORKER), str(store.root), str(tmp_path / "scratch"), way, str(KILLS // 2), "7"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    *problems, last = ran.stdout.splitlines() or [ran.stderr]
    assert problems == []
    assert ran.stderr == ""
    assert last.startswith("done ")
    assert int(last.removeprefix("done ")) >= KILLS // 2  # the others came after the end
