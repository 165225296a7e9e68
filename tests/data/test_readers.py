import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.data.readers import read_rows, read_sources
from slmcheck.errors import DataError


def problems(folder: Path, name: str) -> list[str]:
    return [str(problem) for problem in read_sources([name], folder, "train").problems]


def test_jsonl_rows_have_their_line(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n')
    rows = read_sources(["a.jsonl"], tmp_path, "train").rows
    assert [(row.values["a"], row.where) for row in rows] == [(1, "a.jsonl:1"), (2, "a.jsonl:3")]


def test_every_broken_line_is_listed(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": \n[1]\n{"a": NaN}\n')
    assert problems(tmp_path, "a.jsonl") == [
        "a.jsonl:2: broken JSON: expecting value (column 7)",
        "a.jsonl:3: a row is an object {...}, not list",
        "a.jsonl:4: broken JSON: NaN is no JSON value",
    ]


def test_a_missing_file_names_the_one_that_was_meant(tmp_path: Path):
    (tmp_path / "train.jsonl").write_text("{}\n")
    assert problems(tmp_path, "trian.jsonl") == [
        f"trian.jsonl: file not found in {tmp_path} (did you mean 'train.jsonl'?)"
    ]


def test_a_missing_folder_is_named(tmp_path: Path):
    assert problems(tmp_path, "data/a.jsonl") == [f"data/a.jsonl: file not found: there is no folder {tmp_path}/data"]


def test_an_empty_file_is_an_empty_split(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("\n")
    assert problems(tmp_path, "a.jsonl") == ["a.jsonl: the split is empty: it has no row"]


def test_a_split_expression_that_selects_nothing_is_a_problem(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    assert problems(tmp_path, "a.jsonl[5:]") == ["a.jsonl: the split expression selects no row: a.jsonl[5:]"]


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes('{"a": "x"}\n{"a": "Größe"}\n'.encode("latin-1"))
    assert problems(tmp_path, "a.jsonl") == ["a.jsonl:2: byte 0xf6 is not UTF-8; save the file as UTF-8"]


def test_a_byte_order_mark_is_no_part_of_the_first_field(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert read_sources(["a.csv"], tmp_path, "train").rows[0].values == {"a": "1", "b": "2"}


def test_a_json_list_gives_each_row_its_line(tmp_path: Path):
    (tmp_path / "a.json").write_text('[\n {"a": 1},\n {"a":\n 2},\n {"a": 3}]\n')
    rows = read_sources(["a.json"], tmp_path, "train").rows
    assert [(row.values["a"], row.where) for row in rows] == [(1, "a.json:2"), (2, "a.json:3"), (3, "a.json:5")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1}', "a.json:1: a .json data file is a list of rows: [{...}, {...}]"),
        ('[{"a": 1}\n{"a": 2}]', "a.json:2: broken JSON: expected ',' or ']' after a row"),
        ('[{"a": 1},\n{"a" 2}]', "a.json:2: broken JSON: expecting ':' delimiter (column 6)"),
        ('[{"a": 1}]\n x', "a.json:1: broken JSON: text after the list"),
        ('[{"a": 1}', "a.json:1: broken JSON: expected ',' or ']' after a row"),
    ],
)
def test_a_broken_json_list_names_the_line(tmp_path: Path, text: str, problem: str):
    (tmp_path / "a.json").write_text(text)
    assert problems(tmp_path, "a.json") == [problem]


def test_csv_cells_may_hold_lines(tmp_path: Path):
    (tmp_path / "a.csv").write_text('text,label\n"two\nlines",x\nplain,y\n')
    rows = read_sources(["a.csv"], tmp_path, "train").rows
    assert [(row.values, row.where) for row in rows] == [
        ({"text": "two\nlines", "label": "x"}, "a.csv:2"),
        ({"text": "plain", "label": "y"}, "a.csv:4"),
    ]


def test_a_csv_row_of_another_width_is_a_problem(tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,label\nhello, world,x\n")
    assert problems(tmp_path, "a.csv") == ["a.csv:2: the row has 3 cells; the header has 2"]


def test_a_repeated_column_is_a_problem(tmp_path: Path):
    (tmp_path / "a.csv").write_text("a,a\n1,2\n")
    assert problems(tmp_path, "a.csv") == ["a.csv:1: column 'a' appears twice in the header"]


def test_tab_separated_files_are_read(tmp_path: Path):
    (tmp_path / "a.tsv").write_text("a\tb\n1\t2, 3\n")
    assert read_sources(["a.tsv"], tmp_path, "train").rows[0].values == {"a": "1", "b": "2, 3"}


def test_parquet_rows_become_json_values(tmp_path: Path):
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"a": [1, 2], "b": [None, "x"], "c": [float("nan"), 0.5], "d": [datetime.date(2024, 1, 2)] * 2})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = read_sources(["a.parquet"], tmp_path, "train").rows
    assert rows[0].values == {"a": 1, "b": None, "c": None, "d": "2024-01-02"}
    assert rows[1].where == "a.parquet:2"


def test_a_file_that_is_no_parquet_is_a_problem(tmp_path: Path):
    (tmp_path / "a.parquet").write_text("no")
    assert "cannot be read as Parquet" in problems(tmp_path, "a.parquet")[0]


def test_an_unknown_kind_of_file_is_a_problem(tmp_path: Path):
    (tmp_path / "a.xlsx").write_text("no")
    assert "unknown kind of data file" in problems(tmp_path, "./a.xlsx")[0]


def test_several_sources_follow_one_another(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"from": "{name}"}}\n' * 2)
    rows = read_sources(["b.jsonl", "a.jsonl[:1]"], tmp_path, "train").rows
    assert [row.values["from"] for row in rows] == ["b", "b", "a"]


def test_rows_without_a_recipe_raise_with_every_problem(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("x\ny\n")
    with pytest.raises(DataError, match=r"a.jsonl:1: .*a.jsonl:2: "):
        read_rows(["a.jsonl"], tmp_path)


JSON_ROWS = st.lists(
    st.dictionaries(st.text(max_size=4), st.none() | st.text() | st.integers() | st.booleans()), max_size=6
)


@given(rows=JSON_ROWS)
def test_json_and_jsonl_give_the_same_rows(rows: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("rows")
    (folder / "a.json").write_text(json.dumps(rows, indent=1))
    (folder / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert [row.values for row in read_sources(["a.json"], folder, "train").rows] == rows
    assert [row.values for row in read_sources(["a.jsonl"], folder, "train").rows] == rows
