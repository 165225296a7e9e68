"""Fine-tune small language models as pytest fixtures, gate their releases, and say why they fail.

PYTEST_DONT_REWRITE: `slmcheck run` imports this package before it starts pytest, which would warn of that otherwise.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from slmcheck.evaluation import Baseline, Run, open_recipe
    from slmcheck.evaluation.library import check, compare, diagnose, evaluate, open_run, plan, report
    from slmcheck.evaluation.together import together
    from slmcheck.gates import MetricInfo, Policy, Score, Verdict, judging
    from slmcheck.metrics import Metric, Statistics, metric
    from slmcheck.records import Prediction, Recipe
    from slmcheck.storage import Store
    from slmcheck.studies.library import finetune
    from slmcheck.training.custom_loss import LossBatch
    from slmcheck.workspace import Workspace

_HOMES = {
    "Baseline": "slmcheck.evaluation",
    "LossBatch": "slmcheck.training.custom_loss",
    "Metric": "slmcheck.metrics",
    "MetricInfo": "slmcheck.gates",
    "Policy": "slmcheck.gates",
    "Prediction": "slmcheck.records",
    "Recipe": "slmcheck.records",
    "Run": "slmcheck.evaluation",
    "Score": "slmcheck.gates",
    "Statistics": "slmcheck.metrics",
    "Store": "slmcheck.storage",
    "Verdict": "slmcheck.gates",
    "Workspace": "slmcheck.workspace",
    "check": "slmcheck.evaluation.library",
    "compare": "slmcheck.evaluation.library",
    "diagnose": "slmcheck.evaluation.library",
    "evaluate": "slmcheck.evaluation.library",
    "finetune": "slmcheck.studies.library",
    "judging": "slmcheck.gates",
    "metric": "slmcheck.metrics",
    "open_recipe": "slmcheck.evaluation",
    "open_run": "slmcheck.evaluation.library",
    "plan": "slmcheck.evaluation.library",
    "report": "slmcheck.evaluation.library",
    "together": "slmcheck.evaluation.together",
}

__all__ = [
    "Baseline",
    "LossBatch",
    "Metric",
    "MetricInfo",
    "Policy",
    "Prediction",
    "Recipe",
    "Run",
    "Score",
    "Statistics",
    "Store",
    "Verdict",
    "Workspace",
    "__version__",
    "check",
    "compare",
    "diagnose",
    "evaluate",
    "finetune",
    "judging",
    "metric",
    "open_recipe",
    "open_run",
    "plan",
    "report",
    "together",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'slmcheck' has no attribute '{name}'")
    return getattr(import_module(home), name)
