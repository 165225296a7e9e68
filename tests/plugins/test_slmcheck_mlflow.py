"""The observer of MLflow: what it sends, and that no gate depends on it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import slmcheck_mlflow

from slmcheck.records import Environment, HistoryPoint, Report, RunReport, ScoreRecord, UsagePoint

needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed: pip install 'slmcheck[mlflow]'"
)
REPORT = Report(
    runs=(
        RunReport(
            name="tone/lora",
            key="ab12",
            base_model="slmcheck/tiny",
            trainer="lora",
            task="classification",
            environment=Environment(),
            hyperparameters={"learning_rate": 0.001},
            history=(
                HistoryPoint(step=0, validation_loss=2.0),
                HistoryPoint(step=5, train_loss=1.0, validation_loss=1.5),
            ),
            usage=(UsagePoint(step=5, seconds=2.0, tokens_per_second=100.0, cpu_cores=1.0),),
            scores=(ScoreRecord(metric="accuracy", value=0.9, low=0.8, high=0.95, n=50, slice="short"),),
        ),
    )
)


@needs_mlflow
def test_a_session_is_sent_as_one_run_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    slmcheck_mlflow.pytest_slmcheck_report(REPORT)
    [run] = mlflow.search_runs(output_format="list")
    assert run.info.run_name == "tone/lora"
    assert run.data.tags["slmcheck.key"] == "ab12"
    assert run.data.params == {"learning_rate": "0.001"}
    assert run.data.metrics["accuracy/short"] == 0.9
    assert run.data.metrics["accuracy/short/low"] == 0.8
    curve = mlflow.MlflowClient().get_metric_history(run.info.run_id, "validation_loss")
    assert [(point.step, point.value) for point in curve] == [(0, 2.0), (5, 1.5)]


@needs_mlflow
def test_a_server_that_does_not_answer_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    with pytest.warns(pytest.PytestWarning, match="MLflow did not take the session"):
        slmcheck_mlflow.pytest_slmcheck_report(REPORT)


def test_without_mlflow_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(pytest.UsageError, match=r"slmcheck\[mlflow\]"):
        slmcheck_mlflow.pytest_slmcheck_report(REPORT)
