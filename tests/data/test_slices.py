import pytest

from slmcheck.data.slices import holds, slices_of
from slmcheck.records import SlicePredicate

ROW = {"phrase": "two words", "source": "complaint", "score": 3, "number_in_csv": "3", "flag": True}


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (SlicePredicate(field="source", equals="complaint"), True),
        (SlicePredicate(field="source", equals="praise"), False),
        (SlicePredicate(field="number_in_csv", equals=3), True),
        (SlicePredicate(field="flag", equals=True), True),
        (SlicePredicate(field="source", is_in=("praise", "complaint")), True),
        (SlicePredicate(field="source", is_in=("praise",)), False),
        (SlicePredicate(field="phrase", matches=r"\bwords$"), True),
        (SlicePredicate(field="phrase", min_words=2, max_words=2), True),
        (SlicePredicate(field="phrase", min_words=3), False),
        (SlicePredicate(field="phrase", max_words=1), False),
        (SlicePredicate(field="score", min=3, max=3), True),
        (SlicePredicate(field="score", min=3.5), False),
        (SlicePredicate(field="number_in_csv", max=4), True),
        (SlicePredicate(field="phrase", min=0), False),
        (SlicePredicate(field="phrase", max_words=2, matches="x"), False),
        (SlicePredicate(field="absent", equals="complaint"), False),
    ],
)
def test_a_slice_holds_the_rows_that_meet_all_its_conditions(predicate: SlicePredicate, expected: bool):
    assert holds(predicate, ROW) is expected


def test_slices_are_named_in_the_order_of_the_recipe():
    slices = {
        "b": SlicePredicate(field="score", min=1),
        "a": SlicePredicate(field="score", max=5),
        "c": SlicePredicate(field="x", min=1),
    }
    assert slices_of(ROW, slices) == ("b", "a")
