"""The overfitting gap: a score on training rows minus the score on evaluation rows."""

from __future__ import annotations

from dataclasses import replace

from slmcheck.errors import ComparisonError
from slmcheck.gates.changes import compare, gap_value
from slmcheck.gates.evidence import Measurement, MetricInfo
from slmcheck.gates.score import Score
from slmcheck.records import GapRecord

ALPHA = 0.05


def gap(train_score: Score, evaluation_score: Score) -> Score:
    """Training score minus evaluation score, oriented so that larger means more overfitting.

    For metrics on a logarithmic scale (perplexity) the gap is the logarithm of the ratio, in nats. The two scores are
    independent samples; a gap compares with a gap paired on the evaluation rows.

    Args:
        train_score: On training rows, measured as the evaluation score was.
        evaluation_score: On the evaluation split.

    Raises:
        ComparisonError: If a score has no per-example evidence or the metrics differ.
    """
    train, evaluation = train_score.measurement, evaluation_score.measurement
    metric = evaluation.metric
    if train.metric != metric:
        raise ComparisonError(f"A gap needs one metric; got {train.label} and {evaluation.label}.")
    if train.evidence is None or evaluation.evidence is None or evaluation.train is not None:
        raise ComparisonError(
            f"{metric.name} has no per-example evidence, so {evaluation.source.name} has no gap of it.\n"
            "Return one value an example from the metric."
        )
    return Score.of(
        Measurement(
            value=gap_value(train.evidence, evaluation.evidence, metric),
            metric=gap_metric(metric),
            source=evaluation.source,
            evidence=evaluation.evidence,
            train=train.evidence,
            parts_metric=metric,
        )
    )


def gap_metric(metric: MetricInfo) -> MetricInfo:
    """The metric that the gap of `metric` is: lower is better, no seed sd of its own."""
    return replace(
        metric,
        name=f"gap({metric.name})",
        higher_is_better=False,
        unit="nats" if metric.change_scale == "log" else metric.unit,
        scale="identity",
        margin_kind="absolute",
        interval="influence",
        paired="influence",
        seed_sd=None,
        bounds=None,
    )


def gap_record(run_gap: Score, base_gap: Score | None = None, *, alpha: float = ALPHA) -> GapRecord:
    """A gap as a report shows it, with the base model's own gap where there is one.

    Args:
        run_gap: Made by `gap`.
        base_gap: The same gap of the base model.
        alpha: One-sided level of the bounds of the gap beyond the base model's.
    """
    measurement = run_gap.measurement
    if measurement.train is None or measurement.evidence is None:
        raise ComparisonError(f"{run_gap!r} is not a gap.")
    beyond = low = high = None
    if base_gap is not None:
        estimate = compare(measurement, base_gap.measurement, alpha=alpha).estimate
        # A change is oriented, better meaning a smaller gap; the record counts the gap itself.
        beyond, low, high = -float(estimate.change), -float(estimate.high), -float(estimate.low)
    interval = run_gap.interval
    metric = measurement.parts_metric
    return GapRecord(
        metric=metric.name if metric is not None else run_gap.metric.name,
        train=measurement.train.value,
        evaluation=measurement.evidence.value,
        gap=measurement.value,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        base_gap=float(base_gap) if base_gap is not None else None,
        beyond_base=beyond,
        beyond_base_low=low,
        beyond_base_high=high,
        unit=run_gap.metric.unit,
        n_train=len(measurement.train),
        n_evaluation=len(measurement.evidence),
    )
