from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.records import Environment
from slmcheck.storage import canonical_json, digest, environment_digest

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def test_order_of_keys_changes_nothing() -> None:
    assert canonical_json({"b": 1, "a": [1.0, None]}) == canonical_json({"a": [1.0, None], "b": 1})
    assert canonical_json({"b": 1, "a": [1.0, None]}) == '{"a":[1.0,null],"b":1}'


def test_order_of_a_list_counts() -> None:
    assert digest("run", ["a", "b"]) != digest("run", ["b", "a"])


def test_whole_numbers_and_floats_are_two_values() -> None:
    assert digest("run", 1) != digest("run", 1.0)


def test_kinds_of_key_never_meet() -> None:
    assert digest("run", {"a": 1}) != digest("score", {"a": 1})


def test_keys_stay_what_they_were() -> None:
    # A change of this value makes every store in the world a miss: it must be meant.
    assert digest("run", {"seed": 0}) == "b1288504651fb033475d8a8dfaf53eca690f15278fabc837a3441a2a22e46ffd"


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}])
def test_numbers_without_a_text_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_keys_that_are_no_text_are_refused() -> None:
    with pytest.raises(TypeError, match="1 is no key"):
        canonical_json({"a": [{1: 2}]})  # type: ignore[list-item]


def test_lone_surrogates_have_a_digest() -> None:
    assert digest("row", "\ud800") != digest("row", "\udc00")


@given(JSON_VALUES)
def test_equal_values_have_equal_digests_and_the_text_reads_back(value: object) -> None:
    import json

    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [{"device": "cuda"}, {"dtype": "bfloat16"}, {"threads": 2}, {"versions": {"torch": "2.14.0"}}],
    ids=lambda change: next(iter(change)),
)
def test_every_field_of_an_environment_counts(change: dict[str, object], cpu: Environment) -> None:
    assert environment_digest(dataclasses.replace(cpu, **change)) != environment_digest(cpu)  # type: ignore[arg-type]
    assert len(environment_digest(cpu)) == 16
