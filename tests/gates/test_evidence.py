"""What evidence refuses, and how it is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slmcheck.errors import ComparisonError
from slmcheck.gates import Evidence


def evidence(make: Any, table: np.ndarray, **fields: Any) -> Evidence:
    settings: dict[str, Any] = {
        "example_ids": make.ids(len(table)),
        "statistics": table,
        "columns": ("sum", "count"),
        "value_of_sum": make.mean,
        **fields,
    }
    return Evidence(**settings)


TABLE = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"columns": ("sum",)}, r"shape \(3, 2\)"),
        ({"example_ids": ("a", "b")}, "2 example ids"),
        ({"groups": ("a",)}, "1 groups for 3 example ids"),
        ({"answers": ("a", "b")}, "2 answers for 3 example ids"),
        ({"reference_hashes": ()}, "0 reference_hashes for 3"),
        ({"example_ids": ("a", "b", "a")}, "repeat: a"),
        ({"statistics": np.array([[1.0, 1.0], [np.nan, 1.0], [1.0, 1.0]])}, "'ex0001' are not finite"),
        ({"statistics": np.zeros((0, 2)), "example_ids": ()}, "no examples"),
    ],
)
def test_evidence_that_does_not_fit_is_refused(make: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ComparisonError, match=message):
        evidence(make, TABLE, **fields)


def test_its_value_is_that_of_the_sums(make: Any) -> None:
    assert evidence(make, TABLE).value == pytest.approx(2 / 3)


def test_taking_examples_takes_all_that_belongs_to_them(make: Any) -> None:
    whole = evidence(make, TABLE, groups=("x", "y", "y"), answers=("p", "q", "r"), reference_hashes=("1", "2", "3"))
    part = whole.take(np.array([2, 0]))
    assert part.example_ids == ("ex0002", "ex0000")
    assert (part.groups, part.answers, part.reference_hashes) == (("y", "x"), ("r", "p"), ("3", "1"))
    assert part.value == 1.0
    assert part.position == {"ex0002": 0, "ex0000": 1}


def test_zero_one_means_are_recognised(make: Any) -> None:
    found = evidence(make, TABLE).binary
    assert found is not None
    assert found.tolist() == [True, False, True]
    assert evidence(make, np.array([[0.5, 1.0], [1.0, 1.0]])).binary is None
    assert evidence(make, np.array([[1.0, 2.0], [1.0, 1.0]])).binary is None
    assert evidence(make, TABLE, columns=("nll", "tokens")).binary is None


def test_classes_of_fewer_than_ten_examples_are_rare(make: Any) -> None:
    references = np.array([0] * 10 + [1] * 9)
    score = make.classes(references, references)
    assert score.evidence.rare_classes == {"1": 9}  # class 2 does not occur at all
