from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.errors import DataError
from slmcheck.storage.baseline_lines import BaselineExample, line_of, parse_lines

GOOD = '{"id":"a","stats":{"accuracy":1}}'

TEXTS = st.text(max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: value != 0)
EXAMPLES = st.builds(
    BaselineExample,
    id=TEXTS,
    split=st.sampled_from(["test", "train", "validation"]),
    variant=st.sampled_from(["", "onnx:int8"]),
    reference=st.none() | TEXTS,
    answer=st.none() | TEXTS,
    group=st.none() | TEXTS,
    slices=st.lists(TEXTS, max_size=2).map(tuple),
    statistics=st.dictionaries(
        TEXTS,
        st.builds(lambda value: {"sum": value, "count": 1.0}, NUMBERS) | st.dictionaries(TEXTS, NUMBERS, max_size=3),
        max_size=2,
    ),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("baseline") / "lora.examples.jsonl"


@given(example=EXAMPLES, private=st.booleans())
def test_every_example_reads_back(path: Path, example: BaselineExample, private: bool) -> None:
    path.write_bytes((line_of(example, private=private) + "\n").encode("utf-8", errors="surrogatepass"))
    assert parse_lines(path, path.read_bytes(), private=private) == (example,)


def test_a_miss_of_a_mean_is_a_zero(path: Path) -> None:
    example = BaselineExample(id="a", statistics={"accuracy": {"count": 1.0}})
    assert line_of(example, private=False) == '{"id":"a","stats":{"accuracy":0}}'
    path.write_text('{"id":"a","stats":{"accuracy":0}}\n')
    assert parse_lines(path, path.read_bytes(), private=False)[0].statistics == {"accuracy": {"count": 1.0}}


@pytest.mark.parametrize("mark", ["<<<<<<< HEAD", "=======", ">>>>>>> branch", "||||||| base"])
def test_marks_of_a_merge_conflict_are_named_with_their_line(path: Path, mark: str) -> None:
    path.write_text(f"{GOOD}\n{mark}\n")
    with pytest.raises(DataError, match=r"lora\.examples\.jsonl:2: an unresolved merge conflict"):
        parse_lines(path, path.read_bytes(), private=False)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"id":"b","stats":{"accuracy":1}', "Expecting"),
        ('["b"]', "it is no JSON object"),
        ('{"id":"b","stats":{"accuracy":1},"colour":"red"}', "'colour' is no field of an example"),
        ('{"id":7,"stats":{}}', "'id' \\(text\\) and 'stats' \\(an object\\) are needed"),
        ('{"id":"b"}', "are needed"),
        ('{"id":"b","ref":1,"stats":{}}', "'ref' is 1; text was expected"),
        ('{"id":"b","stats":{"accuracy":"high"}}', "statistics are 'high'"),
        ('{"id":"b","stats":{"accuracy":{"sum":NaN}}}', "statistics are not finite"),
        (GOOD, "example a stands in line 1 already"),
    ],
)
def test_a_damaged_line_is_named_with_its_problem(path: Path, line: str, expected: str) -> None:
    path.write_text(f"{GOOD}\n{line}\n")
    with pytest.raises(DataError, match=rf"1 lines .*\n.*lora\.examples\.jsonl:2: .*{expected}"):
        parse_lines(path, path.read_bytes(), private=False)


def test_all_damaged_lines_are_counted(path: Path) -> None:
    path.write_text("\n".join([GOOD, *["damaged"] * 5]))
    with pytest.raises(DataError, match=r"5 lines(.|\n)*:2: (.|\n)*:4: (.|\n)*2 more\."):
        parse_lines(path, path.read_bytes(), private=False)


def test_empty_lines_are_nothing(path: Path) -> None:
    path.write_text(f"\n{GOOD}\n\n")
    assert len(parse_lines(path, path.read_bytes(), private=False)) == 1
