from __future__ import annotations

import json

from slmcheck.records import HistoryPoint
from slmcheck.training.history import HistoryFollower, HistoryWriter, TrainingProgress, read_events, read_history


def write(path, *, keep_until=None, steps=()) -> None:
    writer = HistoryWriter(path, keep_until=keep_until)
    if keep_until is None:
        writer.write("start", {"total_steps": 10})
    for step in steps:
        writer.write_point("step", HistoryPoint(step=step, train_loss=1.0 / step))
    writer.close()


def test_updates_and_evaluations_of_a_step_are_one_point(tmp_path) -> None:
    writer = HistoryWriter(tmp_path / "h", keep_until=None)
    writer.write_point("step", HistoryPoint(step=2, train_loss=1.5, learning_rate=0.1))
    writer.write_point("eval", HistoryPoint(step=2, validation_loss=1.25))
    writer.close()
    assert read_history(tmp_path / "h") == (
        HistoryPoint(step=2, train_loss=1.5, learning_rate=0.1, validation_loss=1.25),
    )


def test_every_event_is_on_disk_when_it_happens(tmp_path) -> None:
    writer = HistoryWriter(tmp_path / "h", keep_until=None)
    writer.write_point("step", HistoryPoint(step=1, train_loss=1.0))
    assert [event["kind"] for event in read_events(tmp_path / "h")] == ["step"]
    writer.close()


def test_a_line_that_a_crash_cut_is_left_out(tmp_path) -> None:
    write(tmp_path / "h", steps=[1, 2])
    with (tmp_path / "h").open("a") as file:
        file.write('{"kind": "step", "st')
    assert [point.step for point in read_history(tmp_path / "h")] == [1, 2]


def test_resuming_drops_what_came_after_the_checkpoint(tmp_path) -> None:
    write(tmp_path / "h", steps=[1, 2, 3, 4])
    write(tmp_path / "h", keep_until=2, steps=[3])
    assert [point.step for point in read_history(tmp_path / "h")] == [1, 2, 3]
    assert [event["kind"] for event in read_events(tmp_path / "h")].count("start") == 1


def test_what_is_written_at_the_end_is_dropped_when_resuming(tmp_path) -> None:
    writer = HistoryWriter(tmp_path / "h", keep_until=None)
    writer.write("finding", {"finding": {}, "after": True})
    writer.write("end", {"last_step": 1})
    writer.close()
    HistoryWriter(tmp_path / "h", keep_until=1).close()
    assert list(read_events(tmp_path / "h")) == []


def test_a_value_that_is_not_finite_is_left_out(tmp_path) -> None:
    writer = HistoryWriter(tmp_path / "h", keep_until=None)
    writer.write_point("step", HistoryPoint(step=1, train_loss=2.0, gradient_norm=float("nan")))
    writer.close()
    assert json.loads((tmp_path / "h").read_text()) == {"kind": "step", "step": 1, "epoch": 0.0, "train_loss": 2.0}


def test_no_file_has_no_points(tmp_path) -> None:
    assert read_history(tmp_path / "h") == ()


def test_a_follower_gives_each_point_once(tmp_path) -> None:
    follower = HistoryFollower(tmp_path / "h")
    assert list(follower.new_points()) == []
    write(tmp_path / "h", steps=[1, 2])
    assert [(point.step, point.total_steps) for point in follower.new_points()] == [(1, 10), (2, 10)]
    assert list(follower.new_points()) == []


def test_a_follower_waits_for_the_end_of_a_line(tmp_path) -> None:
    follower = HistoryFollower(tmp_path / "h")
    (tmp_path / "h").write_text('{"kind": "step", ')
    assert list(follower.new_points()) == []
    with (tmp_path / "h").open("a") as file:
        file.write('"step": 7}\n')
    assert [point.step for point in follower.new_points()] == [7]


def test_a_follower_reads_the_file_of_a_resumed_training_anew(tmp_path) -> None:
    follower = HistoryFollower(tmp_path / "h")
    write(tmp_path / "h", steps=[1, 2])
    list(follower.new_points())
    write(tmp_path / "h", keep_until=1, steps=[2, 3])
    assert [point.step for point in follower.new_points()] == [1, 2, 3]


def test_the_remaining_time_follows_the_pace(tmp_path) -> None:
    assert TrainingProgress(step=5, total_steps=20, seconds=10.0).seconds_left == 30.0
    assert TrainingProgress(step=0, total_steps=20, seconds=10.0).seconds_left is None
