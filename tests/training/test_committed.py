from __future__ import annotations

import pytest

from slmcheck.training.committed import (
    MARKER,
    Finished,
    commit,
    is_committed,
    keep_only,
    newest_committed,
    read_finished,
    write_durably,
    write_finished,
)


@pytest.fixture
def checkpoints(tmp_path):
    for step in (5, 10, 15):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_bytes(b"w" * step)
        (folder / "state").write_text("{}")
        commit(folder)
    return tmp_path


def test_the_newest_whole_checkpoint_is_taken(checkpoints) -> None:
    assert newest_committed(checkpoints) == checkpoints / "checkpoint-15"


@pytest.mark.parametrize(
    "tear",
    [
        lambda folder: (folder / MARKER).unlink(),
        lambda folder: (folder / MARKER).write_text("{"),
        lambda folder: (folder / MARKER).write_text("{}"),
        lambda folder: (folder / "weights").write_bytes(b"w" * 14 + b"x"),
        lambda folder: (folder / "weights").write_bytes(b""),
        lambda folder: (folder / "state").unlink(),
    ],
    ids=["no marker", "torn marker", "empty marker", "changed", "truncated", "missing"],
)
def test_a_torn_checkpoint_is_deleted_and_the_one_before_it_taken(checkpoints, tear) -> None:
    tear(checkpoints / "checkpoint-15")
    assert newest_committed(checkpoints) == checkpoints / "checkpoint-10"
    assert not (checkpoints / "checkpoint-15").exists()


def test_steps_are_ordered_as_numbers(tmp_path) -> None:
    for step in (100, 20):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "weights").write_bytes(b"w")
        commit(tmp_path / f"checkpoint-{step}")
    assert newest_committed(tmp_path) == tmp_path / "checkpoint-100"


def test_no_folder_has_no_checkpoint(tmp_path) -> None:
    assert newest_committed(tmp_path / "none") is None


def test_only_the_named_checkpoints_are_kept(checkpoints) -> None:
    keep_only(checkpoints, {checkpoints / "checkpoint-5", checkpoints / "checkpoint-15"})
    assert sorted(path.name for path in checkpoints.iterdir()) == ["checkpoint-15", "checkpoint-5"]
    assert is_committed(checkpoints / "checkpoint-5")


def test_how_training_ended_is_read_back(tmp_path) -> None:
    assert read_finished(tmp_path) is None
    write_finished(tmp_path, Finished(last_step=9, best_step=6, stopped_early=True))
    assert read_finished(tmp_path) == Finished(last_step=9, best_step=6, stopped_early=True)


def test_a_failed_write_leaves_the_old_file(tmp_path) -> None:
    write_durably(tmp_path / "file", "old")
    with pytest.raises(UnicodeEncodeError):
        write_durably(tmp_path / "file", "\ud800")
    assert (tmp_path / "file").read_text() == "old"
