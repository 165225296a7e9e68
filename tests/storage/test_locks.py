from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from slmcheck.errors import StoreError
from slmcheck.records import Environment
from slmcheck.storage import Store
from slmcheck.storage.locks import available_cores, slot_names, try_hold

HOLDER = """
import sys, time
from pathlib import Path
from slmcheck.storage import Store
with Store(Path(sys.argv[1])).lock("training"):
    print("held", flush=True)
    time.sleep(60)
"""


def start_holder(store: Store) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(store.root)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_a_lock_is_released_when_its_holder_is_killed(store: Store) -> None:
    holder = start_holder(store)
    try:
        with (
            pytest.raises(StoreError, match=f"held by process {holder.pid} on"),
            store.lock("training", timeout_seconds=0.2),
        ):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with store.lock("training", timeout_seconds=5):
        pass


def test_who_waits_is_told_once_who_holds_the_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slmcheck.storage.locks._SAY_AFTER_SECONDS", 0.1)
    said: list[str] = []
    entered = threading.Event()
    leave = threading.Event()

    def hold() -> None:
        with store.lock("training"):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(10)

    def told(text: str) -> None:
        said.append(text)
        leave.set()  # the holder leaves because somebody was told, whenever that is

    with store.lock("training", on_wait=told):
        held = [*said]
    thread.join()
    assert held == said
    assert len(said) == 1
    assert said[0].startswith(f"waiting for process {os.getpid()} on ")


def test_locks_of_other_names_do_not_wait(store: Store) -> None:
    folder = store.root / "locks"
    with store.lock("one"), store.lock("two", timeout_seconds=0), try_hold(folder, "one") as first:
        assert not first
        with try_hold(folder, "two") as second, try_hold(folder, "three") as third:
            assert (second, third) == (False, True)


def test_an_error_inside_releases_the_lock(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.lock("training"):
        raise ZeroDivisionError
    with try_hold(store.root / "locks", "training") as free:
        assert free


def test_without_working_locks_work_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[object] = []
    inside: list[str] = []

    def refuse(*asked: object) -> None:
        refused.append(asked)
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with store.lock("training", timeout_seconds=0), store.lock("training", timeout_seconds=0):
        inside.append("both")
    assert (len(refused), inside) == (2, ["both"])


def test_try_hold_says_whether_the_lock_was_free(store: Store) -> None:
    folder = store.root / "locks"
    with try_hold(folder, "gc") as first, try_hold(folder, "gc") as second:
        assert (first, second) == (True, False)
    with try_hold(folder, "gc") as third:
        assert third


def test_cores_over_threads_slots_on_a_cpu_and_one_on_a_gpu() -> None:
    cores = available_cores()
    assert len(slot_names("cpu", 1)) == cores
    assert len(slot_names("cpu", cores)) == 1
    assert len(slot_names("cpu", 10 * cores)) == 1
    assert len(slot_names("cuda", 1)) == 1
    assert slot_names("cuda", 4) == slot_names("cuda:0", 1)
    assert slot_names("cuda:1", 1) != slot_names("cuda:0", 1)


def test_heavy_work_waits_for_a_slot(store: Store) -> None:
    with store.slot("cuda") as name:
        assert name.startswith("gpu-0@")
        with pytest.raises(StoreError, match="not free"), store.slot("cuda", timeout_seconds=0):
            pass
    with store.slot("cuda", timeout_seconds=0):
        pass


def test_as_many_slots_as_there_are_cores(store: Store) -> None:
    cores = available_cores()
    holders = [store.slot("cpu", 1, timeout_seconds=0) for _ in range(cores)]
    names = [holder.__enter__() for holder in holders]
    assert len(set(names)) == cores
    with pytest.raises(StoreError, match="not free"), store.slot("cpu", 1, timeout_seconds=0):
        pass
    for holder in holders:
        holder.__exit__(None, None, None)


def test_the_work_of_a_run_has_one_owner(store: Store, cpu: Environment) -> None:
    entered: list[Path] = []
    with store.work("key", cpu) as folder:
        with pytest.raises(StoreError, match="not free"), store.work("key", cpu, timeout_seconds=0) as second:
            entered.append(second)
        assert folder.is_dir()
    assert entered == []
    with store.work("key", cpu, timeout_seconds=0) as again:
        assert again == folder


def test_lock_files_stay(store: Store) -> None:
    with store.lock("training"):
        pass
    assert [path.name for path in Path(store.root / "locks").iterdir()] == ["training.lock"]
