"""Content-addressed runs, predictions, scores, exports and findings; baseline files."""

from slmcheck.storage.baseline_lines import BaselineExample
from slmcheck.storage.baselines import (
    BASELINE_SCHEMA,
    AcceptedRegression,
    Baseline,
    BaselineHeader,
    BaselineScore,
    answer_hash,
    make_baseline,
    read_baseline,
    write_baseline,
)
from slmcheck.storage.canonical import canonical_json, digest, environment_digest
from slmcheck.storage.differences import Difference, differences
from slmcheck.storage.files import sha256_of_file
from slmcheck.storage.origin import Origin, this_origin
from slmcheck.storage.predictions import PredictionSet
from slmcheck.storage.remote import Remote, remote_at
from slmcheck.storage.scores import StoredScore
from slmcheck.storage.store import Store
from slmcheck.storage.transfer import Carried, key_of_runs
from slmcheck.storage.travel import Moved
from slmcheck.storage.upkeep import Collected, Verified

__all__ = [
    "BASELINE_SCHEMA",
    "AcceptedRegression",
    "Baseline",
    "BaselineExample",
    "BaselineHeader",
    "BaselineScore",
    "Carried",
    "Collected",
    "Difference",
    "Moved",
    "Origin",
    "PredictionSet",
    "Remote",
    "Store",
    "StoredScore",
    "Verified",
    "answer_hash",
    "canonical_json",
    "differences",
    "digest",
    "environment_digest",
    "key_of_runs",
    "make_baseline",
    "read_baseline",
    "remote_at",
    "sha256_of_file",
    "this_origin",
    "write_baseline",
]
