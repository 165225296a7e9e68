from __future__ import annotations

import pytest

from slmcheck.records import Json
from slmcheck.storage import differences

ROWS: list[Json] = [{"id": f"row-{number}", "digest": f"d{number}"} for number in range(5)]


def said(old: Json, new: Json) -> list[str]:
    return [str(difference) for difference in differences(old, new)]


def test_equal_inputs_do_not_differ() -> None:
    assert said({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}) == []


def test_the_leaf_is_named() -> None:
    old = {"recipe": {"learning_rate": 1e-4, "seed": 0}, "trainer": "lora"}
    new = {"recipe": {"learning_rate": 2e-4, "seed": 0}, "trainer": "lora"}
    assert said(old, new) == ["recipe.learning_rate: 0.0001 -> 0.0002"]


def test_whole_numbers_and_floats_differ() -> None:
    assert said({"a": 1}, {"a": 1.0}) == ["a: 1 -> 1.0"]
    assert said({"a": 1}, {"a": True}) == ["a: 1 -> true"]


def test_added_and_removed_fields_are_said() -> None:
    assert said({"a": 1, "b": 2}, {"b": 2, "c": 3}) == ["a: removed 1", "c: added 3"]


def test_a_null_is_a_value() -> None:
    assert said({"a": None}, {"a": 1}) == ["a: null -> 1"] or said({"a": None}, {"a": 1}) == ["a: added 1"]


def test_a_changed_row_is_named_by_its_id() -> None:
    changed = [*ROWS[:2], {"id": "row-2", "digest": "other"}, *ROWS[3:]]
    assert said({"train": ROWS}, {"train": changed}) == ['train[id=row-2].digest: "d2" -> "other"']


def test_an_inserted_row_does_not_shift_the_others() -> None:
    inserted = [ROWS[0], {"id": "new", "digest": "n"}, *ROWS[1:]]
    assert said({"train": ROWS}, {"train": inserted}) == ['train[id=new]: added {"digest":"n","id":"new"}']


def test_rows_without_an_id_are_named_by_their_place() -> None:
    assert said({"train": ["a", "b", "c"]}, {"train": ["a", "x", "c"]}) == ['train[1]: "b" -> "x"']
    assert said({"train": ["a", "b"]}, {"train": ["a"]}) == ['train[1]: removed "b"']


def test_rows_written_as_id_and_digest_show_the_id() -> None:
    assert said([["row-1", "d1"]], [["row-1", "d2"]]) == ['[0: row-1][1]: "d1" -> "d2"']


def test_long_values_are_shortened() -> None:
    [text] = said({"template": "a" * 200}, {"template": "b"})
    assert text.startswith('template: "aaaa')
    assert "... (202 characters) -> " in text


def test_the_number_of_differences_is_bounded() -> None:
    old: Json = {str(number): number for number in range(100)}
    new: Json = {str(number): -number - 1 for number in range(100)}
    assert len(differences(old, new, limit=7)) == 7


@pytest.mark.parametrize(("old", "new"), [([1], {"a": 1}), ("text", ["t"]), (None, [])])
def test_values_of_another_form_differ_as_a_whole(old: Json, new: Json) -> None:
    assert len(said(old, new)) == 1


def test_very_long_lists_are_compared_place_by_place() -> None:
    old: list[Json] = [f"r{number}" for number in range(30_000)]
    new = [*old[:29_999], "changed"]
    assert said({"train": old}, {"train": new}) == ['train[29999]: "r29999" -> "changed"']
