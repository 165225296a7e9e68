from __future__ import annotations

import subprocess
import sys

import pytest

from slmcheck.errors import StoreError
from slmcheck.storage import Store

RACER = """
import sys
from pathlib import Path
from slmcheck.storage import Store
sys.stdin.readline()
print(Store(Path(sys.argv[1])).claim_failure("session", "key", "out of memory"))
"""


def test_one_caller_shows_a_failure(store: Store) -> None:
    assert store.claim_failure("session", "key", "out of memory")
    assert not store.claim_failure("session", "key", "skipped")
    assert store.read_failure("session", "key") == "out of memory"


def test_a_failure_is_known_before_it_is_claimed(store: Store) -> None:
    store.record_failure("session", "key", "out of memory")
    assert store.read_failure("session", "key") == "out of memory"
    assert store.claim_failure("session", "key", "again")
    assert store.read_failure("session", "key") == "out of memory"


def test_another_session_tries_again(store: Store) -> None:
    store.claim_failure("session", "key", "out of memory")
    assert store.read_failure("other", "key") is None
    assert store.read_failure("session", "other") is None
    assert store.claim_failure("other", "key", "again")


def test_of_several_processes_one_claims(store: Store) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    outputs = [racer.communicate("go\n")[0].strip() for racer in racers]
    assert sorted(outputs) == ["False", "False", "False", "True"]


def test_names_of_sessions_never_lead_out_of_the_store(store: Store) -> None:
    store.claim_failure("../../escape", "../key", "text\ud800")
    assert store.read_failure("../../escape", "../key") == "text\ud800"
    assert {path.parent.name for path in store.root.rglob("*.txt")} == {"______escape"}


def test_a_store_that_cannot_be_written_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(StoreError, match="The store cannot be written"):
        store.claim_failure("session", "key", "text")
