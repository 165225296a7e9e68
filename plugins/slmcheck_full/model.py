"""Training and saving a whole model.

A leaf module: it imports torch (through the loader) and is itself imported only by `FullTrainer.train`.
"""

from __future__ import annotations

from slmcheck.records import Checkpoint
from slmcheck.training import TrainingJob, finish_model, supervised_loop
from slmcheck.training.loading import load_base_model
from slmcheck.training.quiet import quiet_libraries


def train_model(job: TrainingJob) -> Checkpoint:
    """Load the base model, train, save the best weights as safetensors in float32."""
    model, tokenizer = load_base_model(job, frozen=False)
    supervised_loop(model, tokenizer, job)
    folder = job.output_dir / "model"
    with quiet_libraries():
        model.save_pretrained(folder)
    return finish_model(folder, job)
