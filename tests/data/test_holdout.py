from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.data.digests import normalized_input
from slmcheck.data.holdout import hold_out
from slmcheck.records import Example


def example(number: int, prompt: str, label: str, group: str | None = None) -> Example:
    return Example(id=str(number), row={}, prompt=prompt, answer=f" {label}", references=(label,), group=group)


def test_the_share_is_met_and_each_class_keeps_its_own():
    rows = [example(n, f"p{n}", "ab"[n % 4 == 0]) for n in range(400)]
    train, validation = hold_out(rows, 0.15, stratified=True)
    assert (len(train), len(validation)) == (340, 60)
    assert Counter(item.references[0] for item in validation) == {"a": 45, "b": 15}


def test_small_classes_share_the_odd_rows():
    rows = [example(n, f"p{n}", f"class {n % 10}") for n in range(30)]
    _, validation = hold_out(rows, 0.15, stratified=True)
    assert len(validation) == 4
    assert max(Counter(item.references[0] for item in validation).values()) == 1


def test_every_class_keeps_a_training_row():
    rows = [example(n, f"p{n}", f"class {n // 2}") for n in range(8)]
    train, _ = hold_out(rows, 0.5, stratified=True)
    assert {item.references[0] for item in train} == {f"class {n}" for n in range(4)}


def test_the_order_of_the_file_and_new_rows_move_few_others():
    rows = [example(n, f"p{n}", "a") for n in range(200)]
    _, before = hold_out(rows, 0.15, stratified=True)
    _, after = hold_out([*reversed(rows), example(200, "new", "a")], 0.15, stratified=True)
    assert len({item.id for item in before} & {item.id for item in after}) >= len(before) - 1


def test_the_smallest_group_validates_where_all_exceed_the_share():
    rows = [example(n, f"p{n}", "a", group="small" if n < 4 else "large") for n in range(10)]
    _, validation = hold_out(rows, 0.1, stratified=False)
    assert {item.group for item in validation} == {"small"}


def test_one_group_leaves_nothing_for_validation():
    rows = [example(n, f"p{n}", "a", group="one") for n in range(10)]
    assert hold_out(rows, 0.1, stratified=False)[1] == ()


@pytest.mark.parametrize("stratified", [True, False])
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["x", "X ", "y", "z", "w"]), st.sampled_from("ab"), st.sampled_from([None, "1", "2"])
        ),
        max_size=25,
    ),
    share=st.floats(0.05, 0.5),
)
def test_no_row_is_lost_and_equal_inputs_and_groups_stay_together(rows, share, stratified):
    examples = [example(n, *row) for n, row in enumerate(rows)]
    train, validation = hold_out(examples, share, stratified=stratified)
    assert sorted(item.id for item in (*train, *validation)) == sorted(item.id for item in examples)
    assert not {normalized_input(item) for item in train} & {normalized_input(item) for item in validation}
    assert not {item.group for item in train if item.group} & {item.group for item in validation if item.group}
    assert len(validation) <= max(share * len(rows) + 2, len(rows) / 2)
