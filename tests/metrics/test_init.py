from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from slmcheck import metrics
from slmcheck.errors import UnknownMetricError
from slmcheck.metrics import METRICS, metric_names, resolve
from slmcheck.records import Task


def test_every_task_has_its_metrics() -> None:
    assert set(METRICS) == set(get_args(Task))
    assert set(metric_names("language_modeling")) == {
        "loss",
        "perplexity",
        "word_perplexity",
        "byte_perplexity",
        "bits_per_byte",
    }


def test_f1_means_what_the_task_means_by_it() -> None:
    assert "average:macro" in resolve("f1", "classification").info.signature
    assert "slot_f1" in resolve("f1", "extraction").info.signature
    assert "token_f1" in resolve("f1", "generation").info.signature


@pytest.mark.parametrize("task", get_args(Task))
def test_a_name_in_the_table_is_the_name_of_its_metric(task: Task) -> None:
    for name in metric_names(task):
        metric = resolve(name, task)
        assert metric.name == name
        assert metric.info.signature.endswith(f"|version:{metric.version}")
        assert metric.info.margin > 0
        assert metric.cached
        assert metric.value_of_sum is not None
        assert metric.description
        assert metric.needs


def test_signatures_of_different_definitions_differ() -> None:
    by_signature: dict[str, object] = {}
    for table in METRICS.values():
        for metric in table.values():
            by_signature.setdefault(metric.info.signature, metric.statistics.__code__)
            assert by_signature[metric.info.signature] is metric.statistics.__code__


def test_a_metric_that_the_task_does_not_define_lists_those_it_does() -> None:
    with pytest.raises(UnknownMetricError) as caught:
        resolve("accurcy", "classification")
    text = str(caught.value)
    assert "The task classification defines no metric 'accurcy'." in text
    assert "It defines: accuracy, f1, f1_micro" in text
    assert "Did you mean 'accuracy'?" in text
    assert "run.measure(function)" in text


def test_bleu_is_no_metric_of_a_classification() -> None:
    with pytest.raises(UnknownMetricError, match="defines no metric 'bleu'"):
        resolve("bleu", "classification")


def test_declared_seed_sds() -> None:
    declared = {name: resolve(name, "classification").info.seed_sd for name in ("accuracy", "f1", "perplexity", "mcc")}
    assert declared == {"accuracy": 0.005, "f1": 0.006, "perplexity": 0.012, "mcc": None}


def test_margins() -> None:
    assert resolve("accuracy", "classification").info.margin == 0.01
    assert resolve("mcc", "classification").info.margin == 0.02
    assert resolve("bleu", "generation").info.margin == 0.5
    assert resolve("rougeL", "generation").info.margin == 0.005


def test_what_is_exported_exists() -> None:
    assert all(hasattr(metrics, name) for name in metrics.__all__)
    assert metrics.__all__ == sorted(metrics.__all__)


def test_importing_metrics_loads_no_reference_implementation() -> None:
    code = (
        "import sys, slmcheck.metrics; "
        "heavy = ('torch', 'transformers', 'scipy', 'sklearn', 'sacrebleu', 'rouge_score', 'nltk', 'evaluate'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"
