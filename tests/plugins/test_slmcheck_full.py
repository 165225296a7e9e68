"""The contract on full fine-tuning."""

from __future__ import annotations

from slmcheck_full import FullTrainer

from slmcheck.testing import TrainerContract


class TestFullTrainer(TrainerContract):
    trainer = FullTrainer
    learning_rate = 3e-3
