"""The contract on LoRA, and what only LoRA promises."""

from __future__ import annotations

from typing import ClassVar

from slmcheck_lora import LoraTrainer

from slmcheck.testing import TrainerContract


class TestLoraTrainer(TrainerContract):
    trainer = LoraTrainer
    options: ClassVar = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1}
    wrong_options = (
        {"r": 0},
        {"lora_alpha": 0},
        {"lora_dropout": 1.0},
        {"target_modules": []},
        {"init_lora_weights": False},
        {"init_lora_weights": "loftq"},
        {"use_rslora": "yes"},
    )
