"""Runs and baselines as suites and library users hold them."""

from slmcheck.evaluation.accepting import Acceptance, accept
from slmcheck.evaluation.baseline import Baseline
from slmcheck.evaluation.exported import OnnxView
from slmcheck.evaluation.run import Run, open_recipe
from slmcheck.evaluation.views import Subject, View, default_kind

__all__ = [
    "Acceptance",
    "Baseline",
    "OnnxView",
    "Run",
    "Subject",
    "View",
    "accept",
    "default_kind",
    "open_recipe",
]
