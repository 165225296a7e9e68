"""Answers that must have a form: JSON of a schema, fields, tool calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.errors import InputError, UndefinedScoreError
from slmcheck.gates import ScoreSource
from slmcheck.metrics import (
    METRICS,
    field_accuracy,
    field_accuracy_of,
    json_valid,
    matches_schema,
    measure,
    tool_argument_match,
    tool_name_match,
)
from slmcheck.metrics.structured import calls_of
from slmcheck.records import Prediction

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "nights": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def answers(*pairs: tuple[str, str]) -> list[Prediction]:
    return [
        Prediction(id=f"row-{place}", prediction=answer, references=(reference,))
        for place, (answer, reference) in enumerate(pairs)
    ]


def value(metric, *pairs: tuple[str, str]) -> float:
    return float(measure(metric, answers(*pairs), ScoreSource(name="run", task="generation")))


def test_json_is_valid_or_not() -> None:
    assert value(json_valid, ("{}", ""), ("[1]", ""), ("{'a': 1}", ""), ("NaN", ""), ("", "")) == pytest.approx(0.4)


def test_a_schema_judges_as_jsonschema_does() -> None:
    from jsonschema import Draft202012Validator

    texts = ['{"city": "Pune"}', '{"city": "Pune", "nights": 0}', '{"nights": 2}', '{"city": "a", "b": 1}', "Pune"]
    reference = Draft202012Validator(SCHEMA)
    expected = sum(reference.is_valid(json.loads(text)) for text in texts[:-1]) / len(texts)
    assert value(matches_schema(SCHEMA), *[(text, "") for text in texts]) == expected == 0.2


def test_a_schema_comes_from_a_file_and_is_part_of_the_signature(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    assert matches_schema(file).info.signature == matches_schema(SCHEMA).info.signature
    assert matches_schema({**SCHEMA, "required": []}).info.signature != matches_schema(SCHEMA).info.signature


def test_a_schema_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wrong at type"):
        matches_schema({"type": "strings"})
    with pytest.raises(InputError, match="cannot be read"):
        matches_schema(tmp_path / "lost.json")


def test_fields_count_one_by_one_over_all_rows() -> None:
    pairs = (
        ('{"time": "13:00", "people": "2"}', '{"time": "13:00", "people": "3"}'),  # 1 of 2
        ('{"time": "13:00", "extra": 1}', '{"time": "13:00"}'),  # 1 of 2
        ("no idea", '{"time": "9"}'),  # 0 of 1
        ("{}", "{}"),  # nothing asked for, nothing given
    )
    assert value(field_accuracy, *pairs) == pytest.approx(3 / 6)
    assert value(field_accuracy_of("time"), *pairs) == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ('{"name": "add", "arguments": {"a": 1}}', (("add", {"a": 1}),)),
        ('Sure. <tool_call>\n{"name": "add", "arguments": {}}\n</tool_call> Done.', (("add", {}),)),
        ('<tool_call>{"name": "a"}</tool_call><tool_call>{"name": "b"}</tool_call>', (("a", {}), ("b", {}))),
        ('[{"name": "a", "parameters": {"x": 2}}]', (("a", {"x": 2}),)),
        ('{"tool_calls": [{"function": {"name": "a", "arguments": "{\\"x\\": 2}"}}]}', (("a", {"x": 2}),)),
        ("just text", None),
        ("[]", None),
        ('{"name": "a", "arguments": "not json"}', None),
        ('<tool_call>{"name": "a"</tool_call>', None),
    ],
)
def test_tool_calls_are_read_in_the_usual_forms(given_text: str, expected: object) -> None:
    assert calls_of(given_text) == expected


def test_names_and_arguments_of_tools_are_judged_apart() -> None:
    right = '{"name": "book", "arguments": {"city": "Pune", "nights": 2}}'
    pairs = (
        ('{"arguments": {"nights": 2.0, "city": " Pune "}, "name": "book"}', right),
        ('{"name": "book", "arguments": {"city": "Pune", "nights": "2"}}', right),
        ('{"name": "cancel", "arguments": {"city": "Pune", "nights": 2}}', right),
        ("I cannot do that", right),
    )
    assert value(tool_name_match, *pairs) == 0.5
    assert value(tool_argument_match, *pairs) == 0.25


def test_a_reference_without_a_call_or_object_is_an_error() -> None:
    with pytest.raises(UndefinedScoreError, match="row-0 holds no tool call"):
        value(tool_name_match, ('{"name": "a"}', "just text"))
    with pytest.raises(UndefinedScoreError, match="row-0 is no JSON object"):
        value(field_accuracy, ("{}", "just text"))


@given(VALUES, st.booleans())
def test_a_call_equals_itself_however_it_is_written(arguments: object, tagged: bool) -> None:
    reference = json.dumps({"name": "f", "arguments": {"v": arguments}})
    written = json.dumps({"arguments": {"v": arguments}, "name": "f"}, indent=2, ensure_ascii=False)
    answer = f"<tool_call>{written}</tool_call>" if tagged and "</tool_call>" not in written else written
    assert value(tool_argument_match, (answer, reference)) == 1.0


def test_the_tasks_offer_them() -> None:
    assert {"json_valid", "tool_name_match", "tool_argument_match"} <= set(METRICS["generation"])
    assert {"json_valid", "field_accuracy"} <= set(METRICS["extraction"])
