from __future__ import annotations

import numpy as np
import pytest

from slmcheck.errors import UndefinedScoreError
from slmcheck.gates import MetricInfo
from slmcheck.metrics import Metric, Statistics
from slmcheck.metrics.definition import MEAN_COLUMNS, mean_of_sum, mean_statistics


def test_a_mean_keeps_its_column_names() -> None:
    statistics = mean_statistics([1.0, 0.0, 0.5])
    assert statistics.columns == MEAN_COLUMNS
    assert statistics.per_example.tolist() == [[1, 1], [0, 1], [0.5, 1]]
    assert statistics.value_of_sum(statistics.per_example.sum(axis=0)) == 0.5


def test_columns_of_another_function_are_never_called_a_mean() -> None:
    statistics = Statistics(np.ones((3, 2)), value_of_sum=lambda sums: sums[..., 0] * sums[..., 1])
    assert statistics.columns == ("column 0", "column 1")


def test_columns_without_names_are_numbered() -> None:
    assert Statistics(np.ones((2, 3)), value_of_sum=mean_of_sum).columns == ("column 0", "column 1", "column 2")


def test_statistics_have_one_row_an_example() -> None:
    with pytest.raises(UndefinedScoreError, match=r"\(examples, columns\) was expected"):
        Statistics(np.ones(3))


def test_a_metric_needs_a_name() -> None:
    with pytest.raises(UndefinedScoreError, match="needs a name"):
        Metric(info=MetricInfo(name=" "), statistics=lambda predictions: 0.0)
