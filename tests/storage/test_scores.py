from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slmcheck.errors import StoreError
from slmcheck.storage import Store, StoredScore

KEY = "cd" + "2" * 62


def score(**changes: object) -> StoredScore:
    values: dict[str, object] = {
        "ids": ("a", "b\u2028", "c"),
        "columns": ("sum", "count"),
        "statistics": np.array([[1.0, 1.0], [0.1 + 0.2, 1.0], [-0.0, 1.0]]),
        "value": 1.3 / 3,
        "groups": ("g1", "g1", "g2"),
        "reference_hashes": ("h1", "h2", "h3"),
        "answers": ("spam", "", "Grüße \ud800"),
        "extras": {"interval": [0.1, 0.9]},
    }
    return StoredScore(**{**values, **changes})  # type: ignore[arg-type]


def test_a_score_reads_back_to_the_last_digit(store: Store) -> None:
    store.write_score(KEY, score(), {"metric": "accuracy"})
    found = store.read_score(KEY)
    assert found is not None
    assert found.statistics.tobytes() == score().statistics.tobytes()
    for name in ("ids", "columns", "value", "groups", "reference_hashes", "answers", "extras"):
        assert getattr(found, name) == getattr(score(), name)


def test_a_score_without_groups_and_answers_reads_back(store: Store) -> None:
    store.write_score(KEY, score(groups=None, reference_hashes=None, answers=None, extras={}))
    found = store.read_score(KEY)
    assert found is not None
    assert (found.groups, found.reference_hashes, found.answers) == (None, None, None)


def test_a_score_of_no_examples_reads_back(store: Store) -> None:
    empty = score(ids=(), statistics=np.zeros((0, 2)), groups=None, reference_hashes=None, answers=None)
    store.write_score(KEY, empty)
    found = store.read_score(KEY)
    assert found is not None
    assert found.statistics.shape == (0, 2)


def test_an_absent_score_is_none(store: Store) -> None:
    assert store.read_score(KEY) is None


def test_the_first_score_stays(store: Store) -> None:
    store.write_score(KEY, score())
    store.write_score(KEY, score(value=0.9))
    found = store.read_score(KEY)
    assert found is not None
    assert found.value == 1.3 / 3


@pytest.mark.parametrize("file", ["statistics.npz", "score.json"])
def test_a_damaged_score_is_measured_again(store: Store, file: str) -> None:
    store.write_score(KEY, score())
    path = store.root / "scores" / "cd" / KEY / file
    path.write_bytes(b"\0" * path.stat().st_size)
    assert store.read_score(KEY) is None
    assert "was damaged" in store.notes[0]
    store.write_score(KEY, score())
    assert store.read_score(KEY) is not None


def test_pickled_arrays_are_never_loaded(store: Store, tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        np.savez(folder / "statistics.npz", statistics=np.array([{"a": 1}], dtype=object))
        (folder / "score.json").write_text('{"ids": ["a"], "columns": ["sum"], "value": 1.0}')

    from slmcheck.storage.entries import EntryName

    store.entries.publish(EntryName(kind="scores", key=KEY), fill, None)
    assert store.read_score(KEY) is None
    assert "allow_pickle" in store.notes[0]


def test_statistics_of_another_shape_are_refused() -> None:
    with pytest.raises(StoreError, match=r"3 examples and 2 columns cannot have statistics of shape \(2, 2\)"):
        score(statistics=np.zeros((2, 2)))


def test_the_same_score_is_stored_as_the_same_bytes(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    for target in (store, other):
        target.write_score(KEY, score())
    for name in ("statistics.npz", "score.json"):
        relative = Path("scores") / "cd" / KEY / name
        assert (store.root / relative).read_bytes() == (other.root / relative).read_bytes()
