from __future__ import annotations

from slmcheck.records import ConfusionRecord, Report
from slmcheck.reports.charts import heat_map, static_svg


def test_the_message_names_the_most_frequent_mistake(report: Report) -> None:
    confusion = report.runs[0].confusion
    assert confusion is not None
    assert heat_map(confusion, "a").message == "Most often 'frustrated' is taken for 'worried': 7 of 80 examples."


def test_classes_have_precision_recall_and_f1() -> None:
    figure = heat_map(ConfusionRecord(labels=("a", "b", "c"), counts=((8, 2, 0), (1, 9, 0), (0, 0, 0))), "a")
    assert figure.tables[0].rows == (
        ("a", "0.889", "0.800", "0.842", "10"),
        ("b", "0.818", "0.900", "0.857", "10"),
        ("c", "–", "–", "–", "0"),
    )
    assert figure.tables[1].rows[0] == ("a", "8", "2", "0")


def test_without_mistakes_it_says_so() -> None:
    figure = heat_map(ConfusionRecord(labels=("a", "b"), counts=((3, 0), (0, 3))), "a")
    assert figure.message == "No label is taken for another."


def test_of_many_labels_those_with_the_most_mistakes_are_drawn_and_all_are_listed() -> None:
    count = 77
    counts = [[20 if row == column else 0 for column in range(count)] for row in range(count)]
    counts[70][3] = 9
    labels = tuple(f"label {index}" for index in range(count))
    figure = heat_map(ConfusionRecord(labels=labels, counts=tuple(map(tuple, counts))), "a")
    assert figure.message.endswith("The 24 labels with the most mistakes of 77 are drawn.")
    assert len(figure.tables[0].rows) == 77
    assert {"label 3", "label 70"} <= {row[0] for row in figure.tables[1].rows}
    assert len(figure.tables[1].rows) == 24


def test_labels_that_look_alike_when_shortened_stay_apart() -> None:
    labels = ("a very long label that ends in one", "a very long label that ends in two")
    picture = static_svg(heat_map(ConfusionRecord(labels=labels, counts=((1, 2), (3, 4))), "a"))
    assert "(1)" in picture
    assert "(2)" in picture
