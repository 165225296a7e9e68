"""The straight line: Recipe -> RunRecord -> Predictions -> Score -> Verdict -> Report.

One function a stage. Each looks in the store first and works only on a miss, and none imports a model library before
it must.

    finetune   a recipe's run, trained at most once per content
    export     a run's checkpoint as an ONNX graph, made at most once per precision
    predict    what a checkpoint answers to examples, each row asked at most once
    measure    a metric of what it answered, with the per-example evidence
    compare    an export with the checkpoint it was made of

Judging is what a comparison of scores does (`slmcheck.gates`); reporting reads what the other stages left.
"""

from slmcheck.pipeline.exporting import compare, export
from slmcheck.pipeline.finetuning import findings_of, finetune, run_key
from slmcheck.pipeline.measuring import has_score, kind_for, measure
from slmcheck.pipeline.predicting import evidence_of, load_model, predict, prediction_key, release_models

__all__ = [
    "compare",
    "evidence_of",
    "export",
    "findings_of",
    "finetune",
    "has_score",
    "kind_for",
    "load_model",
    "measure",
    "predict",
    "prediction_key",
    "release_models",
    "run_key",
]
