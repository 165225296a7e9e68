"""`transformers.TrainingArguments`, as Olive takes them, -> fields of a recipe; every argument has a place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from slmcheck.records import Json
from slmcheck_olive.draft import Draft, as_number, as_switch, listed

NUMBERS: Final = (
    *("learning_rate", "warmup_ratio", "warmup_steps", "num_train_epochs", "max_steps", "weight_decay"),
    *("max_grad_norm", "per_device_train_batch_size", "gradient_accumulation_steps", "logging_steps", "eval_steps"),
    "seed",
)
SWITCHES: Final = ("bf16", "fp16", "gradient_checkpointing")
TEXTS: Final = ("lr_scheduler_type", "optim")
RENAMED: Final[Mapping[str, str]] = {"label_smoothing_factor": "label_smoothing"}

NOTED: Final[Mapping[str, str]] = {
    "save_steps": "left out: a checkpoint is kept at every evaluation (eval_steps)",
    "per_device_eval_batch_size": "left out: evaluation packs rows by tokens, and no score depends on it",
    "logging_dir": "left out: the curves stand in the store and in the report",
    "dataloader_num_workers": "left out: rows are encoded before training, so there is nothing to load in parallel",
    "output_dir": "left out: checkpoints are kept in the store",
    "eval_strategy": "left out: evaluation is by steps (eval_steps)",
    "evaluation_strategy": "left out: evaluation is by steps (eval_steps)",
    "save_strategy": "left out: a checkpoint is kept at every evaluation",
    "load_best_model_at_end": "left out: the checkpoint with the best validation loss is always the one that counts",
    "metric_for_best_model": "left out: the best checkpoint is the one with the lowest validation loss",
    "greater_is_better": "left out: the best checkpoint is the one with the lowest validation loss",
    "resume_from_checkpoint": "left out: a training that was interrupted resumes by itself",
    "data_seed": "left out: seed decides the order of rows too",
    "use_cpu": "left out: the device is that of the machine",
    "no_cuda": "left out: the device is that of the machine",
    "torch_compile": "left out: changes speed only",
    "full_determinism": "left out: trainings are deterministic",
    "do_train": "left out: a recipe trains",
    "group_by_length": "left out: batches are packed without padding",
    "train_sampling_strategy": "left out: rows come in the order of the seed",
    "tf32": "left out: results do not depend on it beyond rounding",
}
_NO_EFFECT: Final = frozenset(
    {
        *("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs", "torch_compile_backend"),
        *("torch_compile_mode", "use_cache", "torch_empty_cache_steps", "logging_strategy", "logging_first_step"),
        *("log_on_each_node", "logging_nan_inf_filter", "include_num_input_tokens_seen", "log_level"),
        *("log_level_replica", "disable_tqdm", "run_name", "project", "trackio_space_id", "trackio_bucket_id"),
        *("trackio_static_space_id", "eval_delay", "prediction_loss_only", "eval_on_start", "eval_do_concat_batches"),
        *("eval_use_gather_object", "eval_accumulation_steps", "include_for_metrics", "batch_eval_metrics"),
        *("save_only_model", "save_on_each_node", "save_total_limit", "save_safetensors", "enable_jit_checkpoint"),
        *("ignore_data_skip", "restore_callback_states_from_checkpoint", "do_eval", "do_predict", "local_rank"),
        *("dataloader_pin_memory", "dataloader_persistent_workers", "dataloader_prefetch_factor"),
        *("dataloader_multiprocessing_context", "dataloader_in_order", "remove_unused_columns", "label_names"),
        *("length_column_name", "ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers"),
        *("ddp_static_graph", "ddp_backend", "ddp_timeout", "debug", "skip_memory_metrics", "overwrite_output_dir"),
        *("bf16_full_eval", "fp16_full_eval", "use_liger_kernel", "liger_kernel_config"),
    }
)
"""What changes no number of a result: where things are written, how they are shown, how work is spread."""

_PROCESSES = "several devices are not described by a file of another library; remove it"
REFUSED: Final[Mapping[str, str]] = {
    "deepspeed": _PROCESSES,
    "fsdp": _PROCESSES,
    "fsdp_config": _PROCESSES,
    "accelerator_config": _PROCESSES,
    "parallelism_config": _PROCESSES,
    **dict.fromkeys(
        ("push_to_hub", "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy", "hub_always_push"),
        "a recipe uploads nothing; remove it, and upload the adapter after its gate",
    ),
    "hub_revision": "a recipe uploads nothing; remove it, and upload the adapter after its gate",
    **dict.fromkeys(
        (
            *("lr_scheduler_kwargs", "optim_args", "optim_target_modules", "neftune_noise_alpha"),
            *("auto_find_batch_size", "average_tokens_across_devices", "dataloader_drop_last"),
            "activation_checkpointing",
        ),
        "changes the result and has no field in a recipe; remove it",
    ),
}
_ADAM: Final[Mapping[str, float]] = {"adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8}
_OPTIMIZERS: Final[Mapping[str, str]] = {"adamw_hf": "adamw_torch", "adamw": "adamw_torch"}
_IGNORED: Final[Mapping[str, str]] = {
    "warmup_ratio": "Olive 0.13 drops it, the recipe follows it",
    "fp16": "Olive 0.13 ignores it (it reads torch_dtype), the recipe follows it",
}

KNOWN: Final = (
    *NUMBERS,
    *SWITCHES,
    *TEXTS,
    *RENAMED,
    *NOTED,
    *sorted(_NO_EFFECT),
    *REFUSED,
    *_ADAM,
    "report_to",
    "extra_args",
)
"""Every name that has a place."""


def read_training_argument(draft: Draft, key: str, name: str, value: Json) -> bool:
    """Map, note or refuse one training argument; False if there is none of that name."""
    if name in NUMBERS or name in RENAMED:
        number = as_number(value)
        if name in ("max_steps", "eval_steps", "num_train_epochs") and number in (-1, None):
            draft.note(key, "left out: it says 'not given'")
        else:
            draft.put(RENAMED.get(name, name), number)
    elif name in SWITCHES:
        draft.put(name, as_switch(value))
    elif name in TEXTS:
        _text(draft, key, name, value)
    elif name == "report_to":
        _report_to(draft, key, value)
    elif name in _ADAM:
        if as_number(value) == _ADAM[name]:
            draft.note(key, "left out: it is the value that every training has")
        else:
            draft.refuse(key, f"{value} changes the result and has no field in a recipe; remove it ({_ADAM[name]:g})")
    elif name in REFUSED:
        if as_switch(value) in (None, False, "", []):
            draft.note(key, "left out: it is switched off")
        else:
            draft.refuse(key, REFUSED[name])
    elif name in NOTED:
        draft.note(key, NOTED[name])
    elif name in _NO_EFFECT:
        draft.note(key, "left out: no effect on the numbers")
    else:
        return False
    if name in _IGNORED:
        draft.note(key, _IGNORED[name])
    return True


def read_training_arguments(draft: Draft, key: str, values: Mapping[str, Json]) -> None:
    """Map, note or refuse a block of training arguments; what nobody knows is refused."""
    for name, value in values.items():
        place = f"{key}.{name}"
        if name == "extra_args" and isinstance(value, dict):
            read_training_arguments(draft, place, value)
        elif not read_training_argument(draft, place, name, value):
            draft.unknown(place, name, KNOWN)


def _text(draft: Draft, key: str, name: str, value: Json) -> None:
    text = str(value).lower()
    if name == "optim" and text in _OPTIMIZERS:
        draft.note(key, f"'{text}' is no more; {_OPTIMIZERS[text]} is the same algorithm")
        text = _OPTIMIZERS[text]
    draft.put(name, text)


def _report_to(draft: Draft, key: str, value: Json) -> None:
    named = [str(item) for item in listed(value)]
    if "tensorboard" in named:
        draft.put("report_to", "tensorboard")
    others = [item for item in named if item != "tensorboard"]
    if others:
        draft.note(key, f"{', '.join(others)} left out: the history stands in the store and in the report")
