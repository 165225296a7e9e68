from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.data.sources import parse_source, slice_of
from slmcheck.errors import DataError


def test_a_plain_path_is_a_file_beside_the_recipe():
    assert parse_source("data/train.jsonl", Path("/suite")).path == Path("/suite/data/train.jsonl")


def test_a_file_may_have_a_split_expression():
    source = parse_source("rows.csv[:80%]", Path("/suite"))
    assert (source.path, source.part, source.shown) == (Path("/suite/rows.csv"), ":80%", "rows.csv")


def test_a_hub_data_set_has_revision_configuration_and_split():
    source = parse_source("org/set@v1.2#plain_text:train[:4096]", Path())
    assert (source.repository, source.revision, source.config, source.split) == (
        "org/set",
        "v1.2",
        "plain_text",
        "train[:4096]",
    )


def test_a_hub_data_set_without_a_split_is_its_training_split():
    assert parse_source("org/set", Path()).split == "train"


def test_a_text_that_is_neither_file_nor_hub_id_is_refused():
    with pytest.raises(DataError, match="neither a file nor a hub data set"):
        parse_source("training rows", Path())


@pytest.mark.parametrize("expression", ["", "4096", ":x", ":1:2", ":120%", ":1.5"])
def test_a_split_expression_that_cannot_be_read_is_refused(expression: str):
    with pytest.raises(DataError, match=r"Write rows or percentages"):
        parse_source(f"rows.jsonl[{expression}]", Path())


@pytest.mark.parametrize(
    ("expression", "selected"),
    [(":3", [0, 1, 2]), ("90%:", [9]), ("10%:30%", [1, 2]), ("-2:", [8, 9]), (":", list(range(10)))],
)
def test_a_split_expression_selects_rows_or_percentages(expression: str, selected: list[int]):
    assert list(range(10))[slice_of(expression, 10, "rows")] == selected


@given(rows=st.integers(0, 500), percent=st.integers(0, 100))
def test_two_percentages_that_meet_cover_every_row_once(rows: int, percent: int):
    items = list(range(rows))
    first, second = slice_of(f":{percent}%", rows, "rows"), slice_of(f"{percent}%:", rows, "rows")
    assert items[first] + items[second] == items
