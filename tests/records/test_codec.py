"""Records become JSON and come back equal; what is not understood is refused."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slmcheck import records
from slmcheck.errors import StoreError
from slmcheck.records import DataSpec, Environment, Example, HistoryPoint, Recipe, from_json, to_json

RECORDS = sorted(
    (found for name in records.__all__ if dataclasses.is_dataclass(found := getattr(records, name))),
    key=lambda kind: kind.__name__,
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
PLAIN: Mapping[object, st.SearchStrategy[Any]] = {
    object: VALUES,
    str: st.text(max_size=8),
    int: st.integers(),
    float: NUMBERS,
    bool: st.booleans(),
    Path: st.sampled_from([Path(), Path("a/b.jsonl"), Path("/a/b")]),
    type(None): st.none(),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation that records use."""
    if kind in PLAIN:
        return PLAIN[kind]
    if dataclasses.is_dataclass(kind):
        return st.deferred(lambda: records_of(typing.cast("type", kind)))
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(values_of, arguments))
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=2).map(tuple)
    return st.dictionaries(st.text(max_size=6), values_of(arguments[1]), max_size=2)


def records_of(kind: type) -> st.SearchStrategy[Any]:
    """Records of a kind, every field drawn; a record inside one of its own kind holds no third."""
    fields = typing.get_type_hints(kind)
    own = {name for name, hint in fields.items() if kind in typing.get_args(hint)}
    flat = {name: values_of(hint) for name, hint in fields.items() if name not in own}
    inner = st.lists(st.builds(kind, **flat), max_size=2).map(tuple)
    return st.builds(kind, **flat, **dict.fromkeys(own, inner))


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_record_comes_back_equal_through_text(kind: type, data: st.DataObject) -> None:
    record = data.draw(records_of(kind))
    text = json.dumps(to_json(record), allow_nan=False)
    assert from_json(kind, json.loads(text)) == record


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_every_record_refuses_a_field_that_it_does_not_know(kind: type, data: st.DataObject) -> None:
    value = {**to_json(data.draw(records_of(kind))), "of_tomorrow": 1}
    with pytest.raises(StoreError, match="has unknown fields: of_tomorrow"):
        from_json(kind, value)


def test_an_unknown_field_deep_inside_is_named_with_its_place() -> None:
    value = {"versions": {}, "device": "cpu", "thread": 2}
    with pytest.raises(StoreError, match=r"Environment has unknown fields: thread\.\nIt was written by a newer"):
        from_json(Environment, value)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(StoreError, match=r"HistoryPoint is incomplete.*'step'"):
        from_json(HistoryPoint, {"epoch": 1.0})


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (Environment, {"device": "tpu"}, r"Environment\.device is 'tpu'; expected one of"),
        (Environment, {"threads": "2"}, r"Environment\.threads is '2'; expected int"),
        (HistoryPoint, {"step": 1.5}, r"HistoryPoint\.step is 1\.5; expected int"),
        (Example, {"id": "a", "row": []}, r"Example\.row is \[\]; expected a mapping"),
        (Example, {"id": "a", "row": {}, "references": "b"}, r"Example\.references is 'b'; expected a list"),
        (Environment, [], r"Environment is \[\]; expected a mapping"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_place(kind: type, value: object, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        from_json(kind, value)


def test_a_whole_number_is_read_as_a_float_where_one_is_meant() -> None:
    found = from_json(HistoryPoint, {"step": 1, "train_loss": 2})
    assert isinstance(found.train_loss, float)


def test_a_truth_value_is_no_number() -> None:
    with pytest.raises(StoreError, match=r"HistoryPoint\.step is True"):
        from_json(HistoryPoint, {"step": True})


def test_what_no_record_holds_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes is no part of a record"):
        to_json(b"x")


def test_every_field_of_a_recipe_declares_its_stage() -> None:
    for kind in (Recipe, DataSpec, records.EvaluationSpec):
        assert [item.name for item in dataclasses.fields(kind) if "stage" not in item.metadata] == []


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_records_are_frozen_and_built_by_name(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    assert all(item.kw_only for item in dataclasses.fields(kind))
