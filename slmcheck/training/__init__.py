"""Recipe -> trained weights: the trainer protocol, the loop that trainers share, the process they run in."""

from slmcheck.training.carry_out import carry_out, find_trainer, training_environment
from slmcheck.training.checkpoints import (
    adapter_checkpoint,
    finish_adapter,
    finish_model,
    model_checkpoint,
)
from slmcheck.training.committed import Finished
from slmcheck.training.history import HistoryFollower, TrainingProgress, read_history
from slmcheck.training.launch import train_in_child
from slmcheck.training.memory import MemoryEstimate, estimate_memory, estimate_of_recipe
from slmcheck.training.options import NoOptions, loop_problems, read_options, recipe_error
from slmcheck.training.precision import precision_note, training_dtype
from slmcheck.training.prepared import BasePreparer, preparation_of, prepare_in_child
from slmcheck.training.protocol import CACHE_VERSION, Trainer, TrainingJob
from slmcheck.training.result import TrainingResult
from slmcheck.training.supervised import supervised_loop

__all__ = [
    "CACHE_VERSION",
    "BasePreparer",
    "Finished",
    "HistoryFollower",
    "MemoryEstimate",
    "NoOptions",
    "Trainer",
    "TrainingJob",
    "TrainingProgress",
    "TrainingResult",
    "adapter_checkpoint",
    "carry_out",
    "estimate_memory",
    "estimate_of_recipe",
    "find_trainer",
    "finish_adapter",
    "finish_model",
    "loop_problems",
    "model_checkpoint",
    "precision_note",
    "preparation_of",
    "prepare_in_child",
    "read_history",
    "read_options",
    "recipe_error",
    "supervised_loop",
    "train_in_child",
    "training_dtype",
    "training_environment",
]
