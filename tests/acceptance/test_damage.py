"""Damaged entries of the store, full disks, baselines of something else: said, made again, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.project import Project
from tests.mood import write_suite, write_tests

NO_WORSE = "def test_it(run, baseline):\n    assert run.accuracy >= baseline.accuracy - 0.5\n"
HISTORY = "def test_history(run):\n    assert run.history[-1].step == 8\n"


def truncate(path: Path) -> None:
    """Lose the second half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def quarantined(project: Project) -> list[str]:
    """What was put aside, by kind."""
    return sorted(path.name.split("-")[0] for path in (project.store_path / "quarantine").glob("*"))


def test_a_damaged_run_is_put_aside_trained_again_and_said(mood: Project) -> None:
    (adapter,) = mood.store_path.glob("runs/*/*/*/adapter/*.safetensors")
    truncate(adapter)
    write_tests(mood.root, HISTORY)
    ran = mood.pytest("mood")
    assert ran.status == 0, ran.text
    assert "was damaged" in ran.out
    assert mood.trainings == 1
    assert quarantined(mood) == ["runs"]
    assert mood.pytest("--slm-offline", "mood").status == 0


def test_a_damaged_score_is_measured_again_without_a_model_and_said(mood: Project) -> None:
    for manifest in mood.store_path.glob("scores/*/*/manifest.json"):
        truncate(manifest)
    ran = mood.without_model_libraries.pytest("--slm-offline", "mood")
    assert ran.status == 0, ran.text
    assert "was damaged" in ran.out
    assert "scores" in quarantined(mood)


def test_damaged_predictions_are_missed_offline_and_made_again(mood: Project) -> None:
    write_tests(mood.root, "def test_level(run):\n    assert run.mcc >= -1.0\n")
    for shard in mood.store_path.glob("predictions/*/*/part-*.jsonl.gz"):
        truncate(shard)
    missed = mood.pytest("--slm-offline", "mood")
    assert missed.status == 1
    assert "The store lacks predictions for 30 of 30 examples of 'mood/lora'" in missed.out
    assert "was damaged" in missed.out
    ran = mood.pytest("mood")
    assert ran.status == 0, ran.text
    assert mood.report()["verdicts"][0]["n"] == 30
    assert (set(quarantined(mood)), mood.trainings) == ({"predictions"}, 0)
    assert mood.pytest("--slm-offline", "mood").status == 0


def test_verifying_finds_what_reading_would_and_fails(mood: Project) -> None:
    assert mood.slmcheck("cache", "verify").status == 0
    (adapter,) = mood.store_path.glob("runs/*/*/*/adapter/*.safetensors")
    content = bytearray(adapter.read_bytes())
    content[-1] ^= 1
    adapter.write_bytes(content)
    ran = mood.slmcheck("cache", "verify")
    assert ran.status == 1
    assert "adapter" in ran.text
    assert "Traceback" not in ran.text
    assert quarantined(mood) == ["runs"]


@pytest.fixture
def accepted(mood: Project) -> Project:
    """The suite with an accepted baseline."""
    write_tests(mood.root, NO_WORSE)
    assert mood.pytest("--slm-offline", "--slm-accept-baseline", "mood").status == 0
    return mood


def baseline_files(project: Project) -> tuple[Path, Path]:
    """The header and the examples of the accepted baseline."""
    folder = project.root / "mood" / "baselines"
    return folder / "lora.json", folder / "lora.examples.jsonl"


def say_another_signature(project: Project) -> None:
    header, _ = baseline_files(project)
    value = json.loads(header.read_text())
    for score in value["scores"]:
        score["signature"] += "|of another time"
    header.write_text(json.dumps(value))


def be_of_other_rows(project: Project) -> None:
    header, examples = baseline_files(project)
    value = json.loads(header.read_text())
    value["accepted"]["examples"] = ""  # written by hand, so without a digest of the examples
    header.write_text(json.dumps(value))
    lines = [json.loads(line) for line in examples.read_text().splitlines()]
    examples.write_text("".join(json.dumps({**line, "id": f"other-{line['id']}"}) + "\n" for line in lines))


def leave_a_merge_conflict(project: Project) -> None:
    header, _ = baseline_files(project)
    header.write_text("<<<<<<< ours\n" + header.read_text() + "=======\n{}\n>>>>>>> theirs\n")


@pytest.mark.parametrize(
    ("change", "says", "remedy"),
    [
        (say_another_signature, "signature", "slmcheck baseline accept"),
        (be_of_other_rows, "share 0 of 30 examples", "slmcheck baseline accept"),
        (leave_a_merge_conflict, "an unresolved merge conflict", "slmcheck baseline resolve"),
    ],
    ids=["another signature", "other rows", "a merge conflict"],
)
def test_a_baseline_of_something_else_is_refused_and_the_remedy_named(
    accepted: Project, change: Callable[[Project], None], says: str, remedy: str
) -> None:
    change(accepted)
    before = [path.read_bytes() for path in baseline_files(accepted)]
    ran = accepted.pytest("mood")
    assert ran.status == 1
    assert says in ran.out
    assert remedy in ran.out
    assert "Traceback" not in ran.out
    assert "slmcheck/evaluation" not in ran.out
    compared = accepted.slmcheck("compare", "baseline", "mood/lora", "--metric", "accuracy", "--margin", "0.5")
    assert compared.status == 2, compared.text
    assert says in compared.err
    assert "Traceback" not in compared.err
    assert [path.read_bytes() for path in baseline_files(accepted)] == before


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    """The store on a disk of 300 kB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = project.root / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_message_and_with_room_the_work_goes_on(project: Project, small_disk: Path) -> None:
    write_suite(project.root / "mood")
    write_tests(project.root, HISTORY)
    full = project.but(SLMCHECK_STORE=str(small_disk))
    ran = full.pytest("mood")
    assert ran.status == 1
    assert "the disk is full" in ran.out.lower()
    assert "SLMCHECK_STORE" in ran.out
    assert "Traceback" not in ran.text
    trained = full.slmcheck("train", "mood/lora")
    assert trained.status == 3
    assert "Traceback" not in trained.err
    assert "the disk is full" in trained.err.lower()
    subprocess.run(["mount", "-o", "remount,size=40m", str(small_disk)], check=True)
    assert full.pytest("mood").status == 0
