"""Adding, training and saving a LoRA adapter.

A leaf module: it imports peft and torch at its top and is itself imported only by `LoraTrainer.train`.
"""

from __future__ import annotations

from peft import LoraConfig

from slmcheck.records import Checkpoint
from slmcheck.training import TrainingJob, supervised_loop
from slmcheck.training.adapting import adapted_model, check_targets, names_in, save_adapter
from slmcheck.training.loading import load_base_model
from slmcheck_lora import LoraOptions


def train_adapter(job: TrainingJob, options: LoraOptions) -> Checkpoint:
    """Load the base model, add the adapter, train, save the best weights."""
    base, tokenizer = load_base_model(job, frozen=True)
    named = {"target_modules": names_in(options.target_modules), "modules_to_save": options.modules_to_save}
    check_targets(base, {f"options.{option}": names for option, names in named.items()}, job)
    model = adapted_model(base, lora_config(options), job)
    supervised_loop(model, tokenizer, job)
    return save_adapter(model, job)


def lora_config(options: LoraOptions) -> LoraConfig:
    """The options as peft takes them."""
    targets = options.target_modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=options.r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=targets if targets == "all-linear" else list(names_in(targets)),
        modules_to_save=list(options.modules_to_save) or None,
        use_rslora=options.use_rslora,
        init_lora_weights=options.init_lora_weights,
    )
