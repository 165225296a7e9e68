"""Predictions to scores: the built-in metrics of each task, and how to add one's own."""

from collections.abc import Mapping
from difflib import get_close_matches

from slmcheck.errors import UnknownMetricError
from slmcheck.metrics.agreement import agreement
from slmcheck.metrics.answers import exact_match, exact_match_score, token_f1, token_f1_named
from slmcheck.metrics.bridge import evaluate_module
from slmcheck.metrics.classification import (
    accuracy,
    balanced_accuracy,
    confusion,
    f1,
    f1_micro,
    f1_of,
    f1_score,
    f1_weighted,
    mcc,
    precision,
    precision_micro,
    precision_of,
    precision_score,
    precision_weighted,
    recall,
    recall_micro,
    recall_of,
    recall_score,
    recall_weighted,
    unparsable,
)
from slmcheck.metrics.constraints import avoids, matches, mentions, within
from slmcheck.metrics.costs import cost
from slmcheck.metrics.custom import MetricFunction, as_metric, metric
from slmcheck.metrics.definition import Metric, Statistics
from slmcheck.metrics.extraction import (
    slot_exact_match,
    slot_f1,
    slot_precision,
    slot_recall,
    unparsable_json,
)
from slmcheck.metrics.likelihood import bits_per_byte, byte_perplexity, loss, perplexity, word_perplexity
from slmcheck.metrics.measuring import can_read, measure, reference_hash, score_from
from slmcheck.metrics.probabilities import brier, ece
from slmcheck.metrics.rouge import rouge1, rouge2, rouge_score, rougeL, rougeLsum
from slmcheck.metrics.structured import (
    field_accuracy,
    field_accuracy_of,
    json_valid,
    matches_schema,
    tool_argument_match,
    tool_name_match,
)
from slmcheck.metrics.translation import bleu, bleu_score, chrf, chrf_score, chrfpp, ter
from slmcheck.metrics.trivial import majority
from slmcheck.records import Task

_LIKELIHOOD: Mapping[str, Metric] = {
    "loss": loss,
    "perplexity": perplexity,
    "word_perplexity": word_perplexity,
    "byte_perplexity": byte_perplexity,
    "bits_per_byte": bits_per_byte,
}
_CLASSIFICATION: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "f1": f1,
    "f1_micro": f1_micro,
    "f1_weighted": f1_weighted,
    "precision": precision,
    "precision_micro": precision_micro,
    "precision_weighted": precision_weighted,
    "recall": recall,
    "recall_micro": recall_micro,
    "recall_weighted": recall_weighted,
    "balanced_accuracy": balanced_accuracy,
    "mcc": mcc,
    "brier": brier,
    "ece": ece,
    "unparsable": unparsable,
    **_LIKELIHOOD,
}
METRICS: Mapping[Task, Mapping[str, Metric]] = {
    "classification": _CLASSIFICATION,
    "sequence_classification": {name: found for name, found in _CLASSIFICATION.items() if name not in _LIKELIHOOD},
    "generation": {
        "exact_match": exact_match,
        "f1": token_f1_named("f1"),
        "token_f1": token_f1,
        "bleu": bleu,
        "chrf": chrf,
        "chrfpp": chrfpp,
        "ter": ter,
        "rouge1": rouge1,
        "rouge2": rouge2,
        "rougeL": rougeL,
        "rougeLsum": rougeLsum,
        "json_valid": json_valid,
        "tool_name_match": tool_name_match,
        "tool_argument_match": tool_argument_match,
        **_LIKELIHOOD,
    },
    "extraction": {
        "f1": slot_f1,
        "precision": slot_precision,
        "recall": slot_recall,
        "exact_match": slot_exact_match,
        "field_accuracy": field_accuracy,
        "json_valid": json_valid,
        "unparsable": unparsable_json,
        **_LIKELIHOOD,
    },
    "language_modeling": _LIKELIHOOD,
}
"""Every built-in metric by task and name: what `run.<name>` means. Others are given to `run.measure`."""


def metric_names(task: Task) -> tuple[str, ...]:
    """The names of a task's built-in metrics."""
    return tuple(METRICS[task])


def resolve(name: str, task: Task) -> Metric:
    """The built-in metric of a task.

    Raises:
        UnknownMetricError: If the task defines no metric of that name; lists those it does.
    """
    defined = METRICS[task]
    if name in defined:
        return defined[name]
    close = get_close_matches(name, defined, n=1)
    raise UnknownMetricError(
        f"The task {task} defines no metric '{name}'.\n"
        f"It defines: {', '.join(defined)}.{f' Did you mean {close[0]!r}?' if close else ''}\n"
        "Anything else is a function of predictions: run.measure(function)."
    )


__all__ = [
    "METRICS",
    "Metric",
    "MetricFunction",
    "Statistics",
    "accuracy",
    "agreement",
    "as_metric",
    "avoids",
    "balanced_accuracy",
    "bits_per_byte",
    "bleu",
    "bleu_score",
    "brier",
    "byte_perplexity",
    "can_read",
    "chrf",
    "chrf_score",
    "chrfpp",
    "confusion",
    "cost",
    "ece",
    "evaluate_module",
    "exact_match",
    "exact_match_score",
    "f1",
    "f1_micro",
    "f1_of",
    "f1_score",
    "f1_weighted",
    "field_accuracy",
    "field_accuracy_of",
    "json_valid",
    "loss",
    "majority",
    "matches",
    "matches_schema",
    "mcc",
    "measure",
    "mentions",
    "metric",
    "metric_names",
    "perplexity",
    "precision",
    "precision_micro",
    "precision_of",
    "precision_score",
    "precision_weighted",
    "recall",
    "recall_micro",
    "recall_of",
    "recall_score",
    "recall_weighted",
    "reference_hash",
    "resolve",
    "rouge1",
    "rouge2",
    "rougeL",
    "rougeLsum",
    "rouge_score",
    "score_from",
    "slot_exact_match",
    "slot_f1",
    "slot_precision",
    "slot_recall",
    "ter",
    "token_f1",
    "tool_argument_match",
    "tool_name_match",
    "unparsable",
    "unparsable_json",
    "within",
    "word_perplexity",
]
