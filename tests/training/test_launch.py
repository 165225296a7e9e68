"""Training in a process of its own. Each process imports for some seconds, so that tests share what they can."""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from slmcheck.errors import RecipeError, TrainingError, TrainingKilledError, TrainingTimeoutError
from slmcheck.records import to_json
from slmcheck.testing.trainer_contract import assert_same_rows, examples
from slmcheck.training import jobs, launch, train_in_child
from slmcheck.training.child import PARENT_GONE


def weights(checkpoint) -> str:
    (file,) = checkpoint.path.glob("*.safetensors")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def start(recipe, work, on_progress=None, **changes):
    return train_in_child(
        replace(recipe, **changes),
        examples(24),
        examples(8, start=24),
        work,
        base_model=recipe.base_model,
        on_progress=on_progress,
    )


@contextmanager
def watched(monkeypatch):
    """The processes that are started meanwhile."""
    children, original = [], launch._start
    monkeypatch.setattr(launch, "_start", lambda *args: children.append(original(*args)) or children[-1])
    yield children
    monkeypatch.setattr(launch, "_start", original)


def rows_of(directory: Path):
    import numpy as np

    with np.load(directory / "rows.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def seen():
    return []


@pytest.fixture(scope="module")
def result(recipe, tmp_path_factory, seen):
    """One training in a process of its own."""
    return start(recipe, tmp_path_factory.mktemp("child"), seen.append)


def test_another_process_trains_the_same_weights(result, whole) -> None:
    assert weights(result.checkpoint) == weights(whole.checkpoint)
    assert result.checkpoint.key == whole.checkpoint.key


def test_what_is_kept_lies_in_one_folder(result) -> None:
    names = sorted(path.name for path in result.directory.iterdir())
    assert names == ["adapter", "env.json", "history.jsonl", "rows.npz", "train.log"]
    assert result.checkpoint.path == result.directory / "adapter"


def test_progress_is_told_with_the_number_of_updates(result, seen) -> None:
    assert sorted({point.step for point in seen}) == list(range(7))
    assert {point.total_steps for point in seen} == {6}


def test_resources_are_those_of_the_child(result) -> None:
    assert result.resources.peak_memory_bytes > 200 * 2**20
    assert result.resources.seconds > 0
    assert result.resources.cpu_seconds > 0


def test_the_log_has_a_line_every_logging_steps(result) -> None:
    lines = (result.directory / "train.log").read_text().splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("update")] == ["update 1 of 6"]


def test_a_killed_training_resumes_to_the_same_weights(recipe, train, tmp_path, monkeypatch) -> None:
    longer = {"max_steps": 60, "eval_steps": 6}
    expected = train(work="whole", **longer)
    with watched(monkeypatch) as children:

        def ctrl_c(point) -> None:
            if point.step >= 1:
                raise KeyboardInterrupt

        def kill(point) -> None:
            if point.step >= 9:
                os.kill(children[-1].pid, signal.SIGKILL)

        with pytest.raises(KeyboardInterrupt):
            start(recipe, tmp_path / "killed", ctrl_c, **longer)
        assert children[0].returncode == -signal.SIGTERM
        with pytest.raises(TrainingKilledError, match=r"killed by SIGKILL\.\nLast update: \d+\."):
            start(recipe, tmp_path / "killed", kill, **longer)
    resumed = start(recipe, tmp_path / "killed", **longer)
    assert resumed.resumed_from is not None
    assert resumed.resumed_from % 6 == 0
    assert weights(resumed.checkpoint) == weights(expected.checkpoint)
    assert_same_rows(rows_of(resumed.directory), rows_of(expected.job.output_dir))


def test_a_mistake_of_the_recipe_arrives_as_an_error_of_the_recipe(recipe, tmp_path) -> None:
    with pytest.raises(RecipeError) as error:
        start(recipe, tmp_path, options={"target_modules": ["q_proj", "query"]})
    assert "options.target_modules names 'query'" in str(error.value)
    assert "Its linear layers: down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj." in str(
        error.value
    )


def test_a_training_that_takes_too_long_is_ended(recipe, tmp_path, monkeypatch) -> None:
    with watched(monkeypatch) as children, pytest.raises(TrainingTimeoutError, match=r"longer than 0\.01 minutes"):
        start(recipe, tmp_path, timeout_minutes=0.01)
    assert children[0].returncode == -signal.SIGTERM


def test_a_child_without_a_parent_ends(recipe, tmp_path) -> None:
    job = jobs.write_job(tmp_path, recipe, examples(24), examples(8), base_model=recipe.base_model, device="cpu")
    command = [sys.executable, "-P", "-m", "slmcheck.training.child", str(job)]
    child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert child.returncode == PARENT_GONE


def test_threads_and_gpus_of_the_child_are_set_before_it_starts(recipe, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    found = launch.child_environment(replace(recipe, threads=2), "cuda")
    assert (found["OMP_NUM_THREADS"], found["MKL_NUM_THREADS"], found["CUDA_VISIBLE_DEVICES"]) == ("2", "2", "3")
    assert launch.child_environment(recipe, "cpu")["CUDA_VISIBLE_DEVICES"] == "3,4"


@pytest.mark.slow
def test_kills_at_ten_random_moments_change_nothing(recipe, tmp_path, monkeypatch) -> None:
    longer = {"max_steps": 60, "eval_steps": 5, "early_stopping_patience": 50}
    expected = start(recipe, tmp_path / "whole", **longer)
    draw = random.Random(7)
    with watched(monkeypatch) as children:
        for _ in range(10):
            deadline = {}

            def kill(point, deadline=deadline) -> None:
                deadline.setdefault("at", time.monotonic() + draw.uniform(0.0, 1.5))
                if time.monotonic() >= deadline["at"]:
                    os.kill(children[-1].pid, signal.SIGKILL)

            try:
                start(recipe, tmp_path / "killed", kill, **longer)
            except TrainingKilledError:
                continue
    resumed = start(recipe, tmp_path / "killed", **longer)
    assert weights(resumed.checkpoint) == weights(expected.checkpoint)
    assert_same_rows(rows_of(resumed.directory), rows_of(expected.directory))


@pytest.mark.slow
def test_the_child_ends_when_its_parent_is_killed(recipe, tmp_path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import pickle, sys\nfrom pathlib import Path\nfrom slmcheck.training import train_in_child\n"
        "from slmcheck.testing.trainer_contract import examples\n"
        "from slmcheck.records import Recipe, from_json\n"
        "import json\n"
        "from slmcheck.training import launch\n"
        "start = launch._start\n"
        "def told(*asked):\n"
        "    child = start(*asked)\n"
        "    print(child.pid, flush=True)\n"
        "    return child\n"
        "launch._start = told\n"
        "def going(point):\n"
        "    if point.step >= 3:\n"
        "        print('going', flush=True)\n"
        "recipe = from_json(Recipe, json.loads(Path(sys.argv[1]).read_text()))\n"
        "train_in_child(recipe, examples(24), examples(8, start=24), Path(sys.argv[2]), base_model=recipe.base_model,\n"
        "    on_progress=going)\n"
    )
    (tmp_path / "recipe.json").write_text(json.dumps(to_json(replace(recipe, max_steps=100_000, eval_steps=1000))))
    command = [sys.executable, str(script), str(tmp_path / "recipe.json"), str(tmp_path / "work")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        try:
            assert parent.stdout.readline() == "going\n"
            assert select.select([child], [], [], 0)[0] == []  # a hundred thousand updates: it is far from its end
            parent.kill()
            parent.wait()
            # Readable once the process has ended; the bound is only there so that a failure ends too.
            assert select.select([child], [], [], 120)[0] == [child]
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(child, signal.SIGKILL)
            os.close(child)


@pytest.mark.slow
def test_memory_that_is_refused_is_said(recipe, tmp_path, monkeypatch) -> None:
    import resource

    with watched(monkeypatch) as children:

        def limit(point) -> None:
            if point.step == 1:
                status = Path(f"/proc/{children[-1].pid}/status").read_text()
                size = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmSize"))
                resource.prlimit(children[-1].pid, resource.RLIMIT_AS, (size * 512, size * 512))

        with pytest.raises(TrainingError) as error:
            start(recipe, tmp_path, limit, max_steps=60, eval_steps=20)
    assert "memory ran out" in str(error.value)


@pytest.mark.slow
def test_a_full_disk_is_said_and_nothing_committed_is_lost(recipe, whole, tmp_path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(small)]).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        with pytest.raises(TrainingError, match="the disk is full"):
            start(recipe, small, trainer="full", options={})
        subprocess.run(["mount", "-o", "remount,size=40m", str(small)], check=True)
        assert start(recipe, small, trainer="full", options={}).last_step == 6
    finally:
        subprocess.run(["umount", str(small)], check=True)
