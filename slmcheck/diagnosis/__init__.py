"""Run, data and predictions -> findings: cause, evidence, remedy; pure functions of what they are given."""

from slmcheck.diagnosis.causes import CAUSES, GROUPS, Cause, Group, causes_of, group_of, rank_of
from slmcheck.diagnosis.detecting import CACHE_VERSION, diagnose
from slmcheck.diagnosis.observed import Answers, Continued, Observed
from slmcheck.diagnosis.ordering import flattened, ordered
from slmcheck.diagnosis.prompt_changes import CHANGES, changed
from slmcheck.diagnosis.result import Diagnosed, diagnosed
from slmcheck.diagnosis.row_history import RowHistory, SplitHistory, read_rows

__all__ = [
    "CACHE_VERSION",
    "CAUSES",
    "CHANGES",
    "GROUPS",
    "Answers",
    "Cause",
    "Continued",
    "Diagnosed",
    "Group",
    "Observed",
    "RowHistory",
    "SplitHistory",
    "causes_of",
    "changed",
    "diagnose",
    "diagnosed",
    "flattened",
    "group_of",
    "ordered",
    "rank_of",
    "read_rows",
]
