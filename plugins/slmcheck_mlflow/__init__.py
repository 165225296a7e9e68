"""An observer that sends what a session found to MLflow: `pytest -p slmcheck_mlflow suites`.

Where to is MLflow's own business: MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME. One MLflow run a recipe, with its
hyperparameters, its curves, its scores with their intervals, the worst of its verdicts, and report.json.
It listens to `pytest_slmcheck_report`, once a session and in the controller, and no gate depends on it: a server that
does not answer is a warning.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping

import pytest

from slmcheck.records import Report, RunReport, ScoreRecord, VerdictRecord, to_json

_UNSAFE = re.compile(r"[^\w\-./ ]")
"""What MLflow refuses in a name."""
_LONGEST_PARAMETER = 500
"""MLflow refuses longer values."""


@pytest.hookimpl(trylast=True)
def pytest_slmcheck_report(report: Report) -> None:
    """Send every run of a session.

    Raises:
        pytest.UsageError: If mlflow is not installed.
    """
    try:
        import mlflow
    except ImportError as error:
        raise pytest.UsageError(
            "-p slmcheck_mlflow needs MLflow, which is not installed.\nInstall it: pip install 'slmcheck[mlflow]'"
        ) from error
    from mlflow.exceptions import MlflowException

    try:
        for run in report.runs:
            with mlflow.start_run(run_name=run.name):
                _send(run, [verdict for verdict in report.verdicts if verdict.run == run.name])
                mlflow.log_dict(to_json(report), "report.json")
    except (MlflowException, OSError) as error:
        said = str(error).strip().splitlines()
        warnings.warn(
            pytest.PytestWarning(
                f"MLflow did not take the session: {said[0] if said else type(error).__name__}. "
                "Verdicts and report are complete all the same."
            ),
            stacklevel=1,
        )


def _send(run: RunReport, verdicts: list[VerdictRecord]) -> None:
    import mlflow

    mlflow.set_tags(
        {
            "slmcheck.key": run.key,
            "slmcheck.base_model": run.base_model,
            "slmcheck.trainer": run.trainer,
            "slmcheck.task": run.task,
            "slmcheck.trained_on": str(run.environment),
            "slmcheck.state": _state(verdicts),
        }
    )
    mlflow.log_params({name: str(value)[:_LONGEST_PARAMETER] for name, value in run.hyperparameters.items()})
    for point in run.history:
        losses = {
            "train_loss": point.train_loss,
            "validation_loss": point.validation_loss,
            "train_subset_loss": point.train_subset_loss,
            "learning_rate": point.learning_rate,
        }
        _log(losses, step=point.step)
    for use in run.usage:
        _log(
            {
                "tokens_per_second": use.tokens_per_second,
                "cpu_cores": use.cpu_cores,
                "resident_bytes": use.resident_bytes,
                "gpu_utilisation": use.gpu_utilisation,
            },
            step=use.step,
        )
    for score in run.scores:
        _log(_numbers(score))
    for gap in run.gaps:
        _log({f"gap/{gap.metric}": gap.gap, f"gap/{gap.metric}/low": gap.low, f"gap/{gap.metric}/high": gap.high})


def _numbers(score: ScoreRecord) -> dict[str, float | None]:
    parts = (score.metric, score.split if score.split != "test" else "", score.slice or "")
    name = _UNSAFE.sub("_", "/".join(part for part in parts if part))
    return {name: score.value, f"{name}/low": score.low, f"{name}/high": score.high}


def _log(values: Mapping[str, float | None], step: int | None = None) -> None:
    import mlflow

    known = {name: float(value) for name, value in values.items() if value is not None}
    if known:
        mlflow.log_metrics(known, step=step)


def _state(verdicts: list[VerdictRecord]) -> str:
    """The worst state among the verdicts of a run."""
    states = {verdict.state for verdict in verdicts}
    return next((state for state in ("fail", "inconclusive", "pass", "accepted") if state in states), "none")
