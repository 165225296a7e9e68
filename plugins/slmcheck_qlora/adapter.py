"""Quantising a base model; adding, training and saving an adapter on it.

A leaf module: it imports torch and peft at its top and is itself imported only by `QloraTrainer`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from peft import LoraConfig, prepare_model_for_kbit_training
from transformers import PreTrainedModel

from slmcheck.backends.pytorch_loading import folder_of
from slmcheck.backends.quantized import DEVICES, Quantization, load_quantized, write_quantization
from slmcheck.data.tokenizers import read_tokenizer
from slmcheck.errors import RecipeError
from slmcheck.records import Checkpoint, DeviceClass, Recipe
from slmcheck.training import TrainingJob, adapter_checkpoint, supervised_loop
from slmcheck.training.adapting import adapted_model, check_targets, names_in, save_adapter
from slmcheck.training.loading import prepare_process
from slmcheck.training.prepared import FACTS
from slmcheck.training.quiet import quiet_libraries
from slmcheck_qlora import GPU_OPTIMIZERS, QloraOptions, quantization_of


def quantise(recipe: Recipe, options: QloraOptions, base_model: str, device: DeviceClass, folder: Path) -> None:
    """Load the base model in four bits and write it so.

    Raises:
        RecipeError: If the device does not compute in four bits.
        CheckpointError: If the weights are unusable.
    """
    model = _load(recipe, options, base_model, device)
    with quiet_libraries():
        model.save_pretrained(folder)


def train_adapter(job: TrainingJob, options: QloraOptions) -> Checkpoint:
    """Load the quantised base model, add the adapter, train, save the best weights."""
    prepare_process(job)
    source = job.base_model if job.prepared_base is None else str(job.prepared_base)
    base = _load(job.recipe, options, source, job.device)
    check_targets(base, {"options.target_modules": names_in(options.target_modules)}, job)
    base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)  # the loop does that
    base.config.use_cache = False
    model = adapted_model(base, _config(options), job)
    recipe, notes = job.recipe, _notes(job)
    if job.device != "cuda" and recipe.optim in GPU_OPTIMIZERS:
        recipe = replace(recipe, optim="adamw_torch_fused")
    supervised_loop(model, read_tokenizer(folder_of(job.base_model)), replace(job, recipe=recipe), notes=notes)
    save_adapter(model, job)
    folder = job.output_dir / "adapter"
    write_quantization(folder, Quantization(**quantization_of(options)))  # type: ignore[arg-type]
    return adapter_checkpoint(folder, base_model=job.base_model, trust_remote_code=job.recipe.trust_remote_code)


def compute_dtype(device: DeviceClass) -> torch.dtype:
    """What four-bit weights are unfolded to for a product: bfloat16 on a GPU that has it, else float32."""
    return torch.bfloat16 if device == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


def _load(recipe: Recipe, options: QloraOptions, source: str, device: DeviceClass) -> PreTrainedModel:
    if device not in DEVICES:
        raise RecipeError(
            f"Recipe '{recipe.name}' cannot be trained: device '{device}' does not compute in four bits "
            f"({options.bnb_4bit_quant_type}).\nDevices that do: {', '.join(DEVICES)}.\n"
            "Choose one with --slm-device, or use trainer: lora."
        )
    return load_quantized(
        source,
        Quantization(**quantization_of(options)),  # type: ignore[arg-type]
        trust_remote_code=recipe.trust_remote_code,
        device=device,
        compute=compute_dtype(device),
    )


def _config(options: QloraOptions) -> LoraConfig:
    targets = options.target_modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=options.r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=targets if targets == "all-linear" else list(names_in(targets)),
        use_rslora=options.use_rslora,
    )


def _notes(job: TrainingJob) -> list[str]:
    found = []
    if job.prepared_base is not None:
        facts = json.loads((job.prepared_base / FACTS).read_text(encoding="utf-8"))
        peak = facts["peak_memory_bytes"]
        took = "" if peak is None else f"; that took {peak / 2**20:.0f} MB at its peak"
        found.append(f"The base model was quantised once, in a process of its own{took}. Trainings start from there.")
    if job.device != "cuda" and job.recipe.optim in GPU_OPTIMIZERS:
        found.append(
            f"'optim: {job.recipe.optim}' is for GPUs; on {job.device} this run was trained with adamw_torch_fused."
        )
    return found
