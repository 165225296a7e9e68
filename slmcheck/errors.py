"""Every deliberate error of slmcheck.

    SlmcheckError                      exit status 3
    ├── InputError                     exit status 2: what the user wrote must change
    │   ├── RecipeError                a recipe cannot be carried out
    │   ├── DataError                  rows cannot be used
    │   ├── UnknownPluginError         no plugin of that name is installed
    │   ├── MissingExtraError          an optional library is not installed
    │   ├── UnknownRunError            no run of that name or key
    │   ├── UnknownMetricError         the task defines no metric of that name
    │   ├── UndefinedScoreError        the metric has no value on these predictions
    │   ├── ComparisonError            two scores cannot be compared
    │   │   ├── BaselineMismatchError  a baseline was made on other data or another signature
    │   │   └── MixedScoresError       an expression of scores that has no meaning
    │   ├── MissingBaselineError       no baseline was accepted yet
    │   ├── OfflineMissError           the store has no entry and making one was forbidden
    │   └── OriginError                a release refuses an entry that a pull request made
    └── WorkError                      exit status 3: the work failed, the request was fine
        ├── TrainingError              a fine-tuning run ended without a result
        │   ├── TrainingKilledError    by a signal, the memory limit among them
        │   ├── TrainingTimeoutError   by its own time limit
        │   └── NonFiniteLossError     by a loss that is NaN or infinite
        ├── CheckpointError            weights are missing, damaged or of another model
        ├── PredictionError            a model could not be evaluated
        ├── ExportError                no usable ONNX graph came out
        ├── ServiceError               a service on the network refused or failed
        └── StoreError                 the store cannot be read or written
            └── RemoteError            the remote of the store cannot be read or written

A message has up to four lines: what is wrong, where, what was expected, what to do next.
"""

from __future__ import annotations


class SlmcheckError(Exception):
    """Base of every deliberate error; its text is the whole message for the user."""

    exit_status = 3


class InputError(SlmcheckError):
    """What the user wrote must change before the work can start."""

    exit_status = 2


class RecipeError(InputError):
    """A recipe cannot be carried out; lists every problem that was found."""


class DataError(InputError):
    """Rows of a data file cannot be used; lists every problem that was found."""


class UnknownPluginError(InputError):
    """No plugin of that name is installed."""


class MissingExtraError(InputError):
    """An optional library is not installed; names the command that installs it."""


class UnknownRunError(InputError):
    """No run has that name or key, or several do."""


class UnknownMetricError(InputError, AttributeError):
    """The task defines no metric of that name; an AttributeError too, because metrics are read as attributes."""


class UndefinedScoreError(InputError):
    """A metric has no value on these predictions."""


class ComparisonError(InputError):
    """Two scores cannot be compared."""


class BaselineMismatchError(ComparisonError):
    """A baseline was made on other data or with another signature."""


class MixedScoresError(ComparisonError, TypeError):
    """An expression mixes what cannot be mixed, two metrics say; a TypeError too, as Python has it for operators."""


class MissingBaselineError(InputError):
    """No baseline was accepted yet."""


class OfflineMissError(InputError):
    """The store has no such entry, and making it was forbidden."""


class OriginError(InputError):
    """A release needs an entry that a pull request made, and refuses it."""


class WorkError(SlmcheckError):
    """The work failed although the request was fine."""


class TrainingError(WorkError):
    """A fine-tuning run ended without a result."""


class TrainingKilledError(TrainingError):
    """A fine-tuning run was ended by a signal."""


class TrainingTimeoutError(TrainingError):
    """A fine-tuning run took longer than its limit."""


class NonFiniteLossError(TrainingError):
    """The loss became NaN or infinite."""


class CheckpointError(WorkError):
    """Weights are missing, damaged or belong to another model."""


class PredictionError(WorkError):
    """A model could not be evaluated on an example set."""


class ExportError(WorkError):
    """No usable ONNX graph came out of an export."""


class ServiceError(WorkError):
    """A service on the network refused or failed."""


class StoreError(WorkError):
    """The store cannot be read or written."""


class RemoteError(StoreError):
    """The remote of the store is down, too slow, full, or cannot be read or written."""
