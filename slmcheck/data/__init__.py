"""Files or hub data sets -> examples: loading, templates, splits, slices, digests, token ids."""

from slmcheck.data.digests import normalized_input, reference_digest, row_digest, training_digest
from slmcheck.data.problems import Problem, ProblemsError
from slmcheck.data.readers import read_rows
from slmcheck.data.shots import with_shots
from slmcheck.data.splits import Inspection, Splits, inspect, load_examples, load_splits, train_subset

__all__ = [
    "Inspection",
    "Problem",
    "ProblemsError",
    "Splits",
    "inspect",
    "load_examples",
    "load_splits",
    "normalized_input",
    "read_rows",
    "reference_digest",
    "row_digest",
    "train_subset",
    "training_digest",
    "with_shots",
]
