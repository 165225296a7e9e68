from __future__ import annotations

import torch

from slmcheck.training.batches import (
    FlatCollator,
    FlatPositionsCollator,
    PaddedCollator,
    TokenRows,
    feature_of,
    length_sorted_batches,
)
from slmcheck.training.token_rows import IGNORED, TokenRow

ROWS = [
    TokenRow(0, (1, 5, 6), (IGNORED, 5, 6)),
    TokenRow(1, (1, 7), (IGNORED, 7), 2.0),
    TokenRow(2, (1, 8, 9, 4), (IGNORED, IGNORED, 9, 4)),
]
FEATURES = [feature_of(row) for row in ROWS]


def test_a_flat_batch_is_what_transformers_makes_of_the_same_rows() -> None:
    from transformers import DataCollatorWithFlattening

    stock = DataCollatorWithFlattening(return_flash_attn_kwargs=True)(
        [{"input_ids": list(row.ids), "labels": list(row.labels)} for row in ROWS]
    )
    ours = FlatCollator()(FEATURES)
    for name, value in stock.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(ours[name], value, rtol=0, atol=0)
        else:
            assert ours[name] == value


def test_a_batch_says_which_row_each_token_stands_in() -> None:
    batch = FlatCollator()(FEATURES)
    assert batch["row"].tolist() == [[0, 0, 0, 1, 1, 2, 2, 2, 2]]
    assert batch["example"].tolist() == [0, 1, 2]
    assert batch["weight"].tolist() == [1.0, 2.0, 1.0]


def test_rows_told_apart_by_positions_need_no_keywords() -> None:
    batch = FlatPositionsCollator()(FEATURES)
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 1, 2, 3]]
    assert "cu_seq_lens_q" not in batch


def test_padding_is_neither_seen_nor_learned() -> None:
    batch = PaddedCollator(pad_id=0)(FEATURES)
    assert batch["input_ids"].tolist() == [[1, 5, 6, 0], [1, 7, 0, 0], [1, 8, 9, 4]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["labels"][1].tolist() == [IGNORED, 7, IGNORED, IGNORED]


def test_the_data_set_gives_the_rows_in_order() -> None:
    source = TokenRows(ROWS)
    assert len(source) == 3
    assert [source[index]["example"] for index in range(3)] == [0, 1, 2]


def test_batches_of_an_evaluation_hold_every_row_once_within_the_budget() -> None:
    rows = [TokenRow(index, tuple(range(length)), (IGNORED,) * length) for index, length in enumerate([3, 9, 4, 4, 2])]
    batches = length_sorted_batches(rows, max_tokens=8, padded=False)
    assert sorted(feature["example"] for batch in batches for feature in batch) == [0, 1, 2, 3, 4]
    assert [[len(feature["input_ids"]) for feature in batch] for batch in batches] == [[9], [4, 4], [3, 2]]


def test_padding_counts_in_the_budget_of_padded_batches() -> None:
    rows = [TokenRow(index, tuple(range(length)), (IGNORED,) * length) for index, length in enumerate([4, 3, 1])]
    batches = length_sorted_batches(rows, max_tokens=8, padded=True)
    assert [[len(feature["input_ids"]) for feature in batch] for batch in batches] == [[4, 3], [1]]
