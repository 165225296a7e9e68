"""Two backends or precisions on the same examples: how far they agree, and whether that is rounding."""

from slmcheck.parity.comparing import Known, ParityRows, compare
from slmcheck.parity.conditions import CONDITIONS, Condition, check_conditions
from slmcheck.parity.costs import CACHE_VERSION as COSTS_VERSION
from slmcheck.parity.costs import COSTS, Costs, cost, measure_costs, weights_bytes
from slmcheck.parity.parting import Parting, divergence, partings
from slmcheck.parity.scores import CACHE_VERSION, LOGIT_SCORES, SCORES, agreement, score
from slmcheck.parity.serving import Served, TokenDifference, judge_served, other_settings, token_difference
from slmcheck.parity.tolerances import (
    TOLERANCES,
    Breach,
    Check,
    Tolerance,
    breaches,
    judge_conditions,
    judge_partings,
    judge_scores,
    tolerance_of,
)
from slmcheck.parity.watching import Watched

__all__ = [
    "CACHE_VERSION",
    "CONDITIONS",
    "COSTS",
    "COSTS_VERSION",
    "LOGIT_SCORES",
    "SCORES",
    "TOLERANCES",
    "Breach",
    "Check",
    "Condition",
    "Costs",
    "Known",
    "ParityRows",
    "Parting",
    "Served",
    "TokenDifference",
    "Tolerance",
    "Watched",
    "agreement",
    "breaches",
    "check_conditions",
    "compare",
    "cost",
    "divergence",
    "judge_conditions",
    "judge_partings",
    "judge_scores",
    "judge_served",
    "measure_costs",
    "other_settings",
    "partings",
    "score",
    "token_difference",
    "tolerance_of",
    "weights_bytes",
]
