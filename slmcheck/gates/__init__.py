"""Scores, their comparisons, and the verdicts that come of them; pure, numpy only."""

from slmcheck.gates.changes import Comparison, compare
from slmcheck.gates.difference import Change
from slmcheck.gates.evidence import Evidence, Measurement, MetricInfo, ScoreSource, Unit
from slmcheck.gates.gap import gap, gap_metric, gap_record
from slmcheck.gates.judged import verdict_of
from slmcheck.gates.missing import MissingScore
from slmcheck.gates.planning import Plan, plan, plan_release, variance_of_change
from slmcheck.gates.policy import Policy, active_policy, judging, record
from slmcheck.gates.score import Score
from slmcheck.gates.seed_means import mean_of_seeds
from slmcheck.gates.summary import Summary, summarise
from slmcheck.gates.units import Units
from slmcheck.gates.verdict import Verdict, inline_form

__all__ = [
    "Change",
    "Comparison",
    "Evidence",
    "Measurement",
    "MetricInfo",
    "MissingScore",
    "Plan",
    "Policy",
    "Score",
    "ScoreSource",
    "Summary",
    "Unit",
    "Units",
    "Verdict",
    "active_policy",
    "compare",
    "gap",
    "gap_metric",
    "gap_record",
    "inline_form",
    "judging",
    "mean_of_seeds",
    "plan",
    "plan_release",
    "record",
    "summarise",
    "variance_of_change",
    "verdict_of",
]
