"""The straight line: Recipe -> RunRecord -> Predictions -> Score -> Verdict -> Report.

One function a stage. Each looks in the store first and works only on a miss, and none imports a model library before
it must.

    finetune   a recipe's run, trained at most once per content
    export     a run's checkpoint as an ONNX graph, made at most once per precision
    deploy     an export with a runner, a card and a self-check, in a folder of its own
    predict    what a checkpoint answers to examples, each row asked at most once
    measure    a metric of what it answered, with the per-example evidence
    compare    an export with the checkpoint it was made of
    locate     the module of an export that departs from it

Judging is what a comparison of scores does (`slmcheck.gates`); reporting reads what the other stages left.
"""

from slmcheck.pipeline.agreeing import MERGED, Pair, check_conditions, compare, partings
from slmcheck.pipeline.beside import Beside, Member, beside, joined
from slmcheck.pipeline.costing import cost
from slmcheck.pipeline.deploying import Deployed, Part, deploy
from slmcheck.pipeline.exporting import adopt, export, export_adapters
from slmcheck.pipeline.finetuning import findings_of, finetune, run_key
from slmcheck.pipeline.locating import locate, stored_location
from slmcheck.pipeline.measuring import has_score, kind_for, measure
from slmcheck.pipeline.predicting import evidence_of, load_model, predict, prediction_key, release_models
from slmcheck.pipeline.serving import serve

__all__ = [
    "MERGED",
    "Beside",
    "Deployed",
    "Member",
    "Pair",
    "Part",
    "adopt",
    "beside",
    "check_conditions",
    "compare",
    "cost",
    "deploy",
    "evidence_of",
    "export",
    "export_adapters",
    "findings_of",
    "finetune",
    "has_score",
    "joined",
    "kind_for",
    "load_model",
    "locate",
    "measure",
    "partings",
    "predict",
    "prediction_key",
    "release_models",
    "run_key",
    "serve",
    "stored_location",
]
