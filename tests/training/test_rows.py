from __future__ import annotations

import numpy as np

from slmcheck.training.rows import RowRecord, SplitRecord


def record() -> RowRecord:
    return RowRecord(
        train=SplitRecord(["a", "b", "c"], [2, 3, 4]),
        validation=SplitRecord(["v"], [5]),
        subset=SplitRecord(["a"], [2]),
    )


def test_rows_that_were_not_seen_have_no_number() -> None:
    rows = record().train
    rows.add(rows.line(0), [1], [0.5], [True])
    arrays = rows.arrays("train", steps=False)
    np.testing.assert_array_equal(arrays["train_nll"], np.float32([[np.nan, 0.5, np.nan]]))
    assert arrays["train_correct"].tolist() == [[-1, 1, -1]]


def test_windows_of_a_document_add_up_and_are_right_together() -> None:
    rows = record().train
    line = rows.line(0)
    rows.add(line, [0, 0], [1.0, 2.0], [True, False])
    rows.add(line, [1, 1], [1.0, 2.0], [True, True])
    arrays = rows.arrays("train", steps=False)
    assert arrays["train_nll"][0, :2].tolist() == [3.0, 3.0]
    assert arrays["train_correct"][0, :2].tolist() == [0, 1]


def test_a_step_has_one_line() -> None:
    rows = record().validation
    assert rows.line(10) == rows.line(10) == 0
    assert rows.line(20) == 1
    assert rows.arrays("validation", steps=True)["validation_steps"].tolist() == [10, 20]


def test_a_restored_record_goes_on_bit_for_bit(tmp_path) -> None:
    whole, first = record(), record()
    for rows in (whole.train, first.train):
        rows.add(rows.line(0), [0], [0.1], [True])
        rows.add(rows.line(1), [2], [0.7], [False])
    first.save(tmp_path / "rows.npz")
    second = record()
    second.restore(tmp_path / "rows.npz")
    for rows in (whole.train, second.train):
        rows.add(rows.line(1), [2], [0.2], [True])
    whole.save(tmp_path / "whole.npz")
    second.save(tmp_path / "resumed.npz")
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "resumed.npz").read_bytes()


def test_an_empty_record_is_written_and_read(tmp_path) -> None:
    record().save(tmp_path / "rows.npz")
    with np.load(tmp_path / "rows.npz", allow_pickle=False) as file:
        assert file["train_nll"].shape == (0, 3)
