"""What more rows would bring, judged on nested parts; verdicts by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmcheck.data import Splits
from slmcheck.evaluation.curves import finding_of, learning_curve_of
from slmcheck.records import DataSpec, Example, Recipe
from slmcheck.studies import learning_curve, open_recipe
from slmcheck.studies.subsets import nested_subset
from tests.studies.conftest import Project

RECIPE = Recipe(
    name="a/b", base_model="slmcheck/tiny", task="classification", trainer="pretrained", data=DataSpec()
)  # fmt: skip


def example(index: int, label: str) -> Example:
    row = {"text": f"prompt {index % 7}", "label": label}
    return Example(
        id=f"row{index}", row=row, source=f"rows:{index}", prompt=row["text"], answer=label, references=(label,)
    )


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(0, 3))
def test_parts_are_nested_and_keep_every_class(labels: list[str], seed: int) -> None:
    splits = Splits(train=tuple(example(index, label) for index, label in enumerate(labels)))
    parts = [nested_subset(splits, RECIPE, fraction, seed=seed).train for fraction in (0.25, 0.5, 1.0)]
    ids = [[item.id for item in part] for part in parts]
    assert set(ids[0]) <= set(ids[1]) <= set(ids[2])
    assert ids[2] == [item.id for item in splits.train]
    assert ids[1] == [name for name in ids[2] if name in set(ids[1])]  # in file order
    assert {item.references for item in parts[0]} == {item.references for item in splits.train}


def test_another_order_of_the_file_gives_the_same_part() -> None:
    rows = tuple(example(index, "ab"[index % 2]) for index in range(40))
    forward = nested_subset(Splits(train=rows), RECIPE, 0.25).train
    backward = nested_subset(Splits(train=rows[::-1]), RECIPE, 0.25).train
    assert {item.id for item in forward} == {item.id for item in backward}
    assert len(forward) == 10


def test_a_part_of_a_hub_set_is_identified_by_its_rows() -> None:
    rows = tuple(example(index, "a") for index in range(8))
    whole = Splits(train=rows, identities={"train": "org/set", "test": "org/other"})
    assert dict(nested_subset(whole, RECIPE, 0.5).identities) == {"test": "org/other"}


def test_a_curve_that_does_not_rise_is_saturated_or_lacks_capacity(project: Project) -> None:
    # Files of answers do not learn: every part scores the same, with an interval as narrow as 120 rows allow.
    run = open_recipe(project.recipe(), project.trainings())
    record = learning_curve(run, project.trainings(), target=0.9)
    assert [point.rows for point in record.points] == [15, 30, 60]
    assert [gain.value for gain in record.gains] == [0.0, 0.0]
    assert record.verdict == "undecided"  # 120 rows cannot exclude a gain of a point
    assert "More evaluation rows or seeds would tell" in record.summary
    assert learning_curve_of(run.key, "classification", project.workspace) == record
    assert project.told[-1].startswith("learning curve of tone/plain: 0 trainings")


@pytest.mark.parametrize(
    ("gain", "expected", "train", "target", "verdict"),
    [
        ((0.03, 0.01, 0.05), 0.02, 0.80, 0.9, "more-data-helps"),
        ((0.03, 0.01, 0.05), 0.005, 0.80, 0.9, "undecided"),  # a gain, but not worth a point
        ((0.03, -0.01, 0.07), 0.02, 0.80, 0.9, "undecided"),
        ((0.001, -0.003, 0.005), 0.0, 0.80, 0.9, "capacity-limited"),
        ((0.001, -0.003, 0.005), 0.0, 0.95, 0.9, "saturated"),
        ((0.001, -0.003, 0.005), 0.0, 0.80, None, "saturated"),
    ],
)
def test_the_rule_of_the_verdict(
    project: Project,
    gain: tuple[float, float, float],
    expected: float,
    train: float,
    target: float | None,
    verdict: str,
) -> None:
    from slmcheck.metrics import METRICS
    from slmcheck.records import ChangeRecord
    from slmcheck.studies.learning_curve import verdict_of

    info = METRICS["classification"]["accuracy"].info
    change = ChangeRecord(value=gain[0], low=gain[1], high=gain[2])
    worth = ChangeRecord(value=expected, low=expected, high=expected)
    assert verdict_of(change, worth, info, value=0.8, train=train, target=target) == verdict


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(0.04, 0.02, 0.01), (0.02, 0.03, 0.03), (0.10, 0.01, 0.003), (-0.01, 0.02, 0.02)],
)
def test_the_next_doubling_goes_on_shrinking(first: float, last: float, expected: float) -> None:
    from slmcheck.records import ChangeRecord
    from slmcheck.studies.learning_curve import expected_gain

    gains = [ChangeRecord(value=value, low=value - 0.01, high=value + 0.01) for value in (first, last)]
    found = expected_gain(gains)
    assert found is not None
    assert found.value == pytest.approx(expected)


def test_a_curve_becomes_a_finding_with_its_scores(project: Project) -> None:
    run = open_recipe(project.recipe(), project.trainings())
    finding = finding_of(learning_curve(run, project.trainings()), run.recipe)
    assert finding.cause == "learning-curve-undecided"
    assert [number.value for number in finding.numbers] == pytest.approx([0.95] * 3)
    assert finding.evidence[0] == "accuracy on 15 rows: 95 % (89.5 .. 97.7)."
