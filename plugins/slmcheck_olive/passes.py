"""Olive's passes -> trainer and options of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from slmcheck.records import Json
from slmcheck_olive.data_configs import read_training_data, read_validation_data
from slmcheck_olive.draft import Draft, as_number, as_switch, listed, mapping_at
from slmcheck_olive.searching import is_range, put_range
from slmcheck_olive.training_args import KNOWN, read_training_argument, read_training_arguments

TRAINERS: Final[Mapping[str, str]] = {
    "lora": "lora",
    "qlora": "qlora",
    "dora": "dora",
    "loha": "loha",
    "lokr": "lokr",
}
"""Olive's passes that train, in small letters, and the trainer or the method of trainer adapters."""
PLAIN = ("lora", "qlora")
LYCORIS = ("loha", "lokr")
_RANK: Final[Mapping[str, str]] = {"r": "r", "lora_r": "r", "lora_dropout": "lora_dropout"}
_MODULES = ("target_modules", "modules_to_save", "exclude_modules")
_LYCORIS_ONLY = (
    *("rank_dropout", "module_dropout", "use_effective_conv2d", "exclude_modules", "init_weights"),
    *("layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern"),
    *("decompose_both", "decompose_factor", "rank_dropout_scale"),
)
_QUANTISED: Final[Mapping[str, str]] = {
    "double_quant": "bnb_4bit_use_double_quant",
    "quant_type": "bnb_4bit_quant_type",
}
_NOTED: Final[Mapping[str, str]] = {
    "device_map": "left out: the device is that of the machine",
    "allow_tf32": "left out: results do not depend on it beyond rounding",
    "ephemeral_gpu_offload": "left out: no effect on the numbers",
    "save_quant_config": "left out: how the base model was quantised is kept with every run",
    "compute_dtype": "left out: it is that of the training (bf16, fp16)",
    "host": "left out: training runs on this machine",
    "evaluator": "left out: what is asserted stands in the suite",
    "output_name": "left out: the run has the name of the recipe",
    "disable_search": "left out: what is searched is named",
    "task_type": "left out: the task of the recipe says it",
    "accelerator": "left out: the device is that of the machine",
}
_PASS = (
    *("type", "config", "r", "lora_r", "alpha", "lora_alpha", "lora_dropout", *_MODULES, *_LYCORIS_ONLY, *_QUANTISED),
    *(*_NOTED, "torch_dtype", "train_data_config", "eval_data_config", "training_args", "user_script"),
)
_DTYPES: Final[Mapping[str, str | None]] = {"bfloat16": "bf16", "float16": "fp16", "float32": None}


def read_passes(draft: Draft, key: str, value: Json, data: Mapping[str, dict[str, Json]]) -> None:
    """The one pass that trains; every other one is refused.

    Args:
        draft: Takes fields, notes and problems.
        key: Where the passes stand.
        value: Pass by name.
        data: The data configs by name.
    """
    seen: list[str] = []
    for name, given in mapping_at(draft, key, value).items():
        for number, item in enumerate(given if isinstance(given, list) else [given]):
            place = f"{key}.{name}" + (f"[{number}]" if isinstance(given, list) else "")
            _pass(draft, place, mapping_at(draft, place, item), data, seen)


def put_dtype(draft: Draft, key: str, value: Json) -> None:
    """`torch_dtype` as `bf16`, `fp16` or neither."""
    text = str(value)
    if text not in _DTYPES:
        draft.unknown(key, text, list(_DTYPES))
        return
    field = _DTYPES[text]
    draft.put("bf16", field == "bf16")
    if field == "fp16":
        draft.put("fp16", True)
    if field is not None:
        draft.note(key, f"is {field}: true, on a GPU and for the arithmetic only; the weights that learn stay float32")


def put_modules(draft: Draft, key: str, name: str, value: Json, prefix: str = "options") -> None:
    """Names of modules; one text that is no list stands for itself: `all-linear`."""
    names = listed(value)
    draft.put(f"{prefix}.{name}", names[0] if isinstance(value, str) and len(names) == 1 else names)
    if draft.fields.get("trainer") == "qlora" and name == "target_modules" and key.startswith("--"):
        draft.note(key, "Olive's command drops it with qlora, the recipe follows it")


def _pass(draft: Draft, key: str, given: dict[str, Json], data: Mapping[str, dict[str, Json]], seen: list[str]) -> None:
    kind = str(given.get("type", ""))
    method = TRAINERS.get(kind.lower())
    if method is None:
        hint = 'a recipe describes training; remove the pass and assert on run.onnx("fp32") in the suite'
        if kind.lower() == "loftq":
            hint = "a quantised start that is fitted to the weights is not offered; use QLoRA"
        draft.refuse(f"{key}.type", f"Olive pass '{kind}' has no place in a recipe; {hint}")
        return
    if seen:
        draft.refuse(f"{key}.type", f"a second pass that trains, after {seen[0]}; a recipe trains once, so write two")
        return
    seen.append(key)
    draft.put("trainer", method if method in PLAIN else "adapters")
    if method not in PLAIN:
        draft.put("options.method", method)
    settings = {**{name: item for name, item in given.items() if name != "config"}}
    settings.update(mapping_at(draft, f"{key}.config", given.get("config")))
    prefix = "options" if method in PLAIN else "options.peft"
    for name, value in settings.items():
        if name != "type":
            nested = name in mapping_at(draft, key, given.get("config"))
            _setting(draft, f"{key}.config.{name}" if nested else f"{key}.{name}", name, value, method, prefix)
    _data(draft, key, settings, data)


def _setting(draft: Draft, key: str, name: str, value: Json, method: str, prefix: str) -> None:
    target = _target(name, method)
    if target is not None and is_range(value):
        put_range(draft, key, f"{prefix}.{target}", value)
    elif name == "alpha" and method not in LYCORIS:
        draft.put(f"{prefix}.lora_alpha", as_number(value))
    elif name == "lora_alpha":
        draft.put(f"{prefix}.{'alpha' if method in LYCORIS else name}", as_number(value))
        draft.note(key, f"Olive 0.13 ignores it and takes 16 (its name there is alpha), the recipe follows it: {value}")
    elif name == "lora_dropout" and method in LYCORIS:
        draft.note(key, f"left out: {method} has none")
    elif name == "modules_to_save" and method == "qlora":
        draft.refuse(key, "trainer qlora trains no further modules; use the pass LoRA, or remove it")
    elif name in _MODULES:
        put_modules(draft, key, name, value, prefix)
        if name == "modules_to_save":
            draft.note(key, "Olive 0.13 rejects every list, the recipe follows it")
    elif target is not None:
        draft.put(f"{prefix}.{target}", as_switch(as_number(value)) if isinstance(value, str) else value)
    else:
        _other(draft, key, name, value)


def _target(name: str, method: str) -> str | None:
    """The option that a setting becomes."""
    if name in _RANK:
        return _RANK[name]
    if name in ("alpha", "lora_alpha"):
        return "alpha" if method in LYCORIS else "lora_alpha"
    if method in LYCORIS and name in _LYCORIS_ONLY:
        return name
    return _QUANTISED.get(name) if method == "qlora" else None


def _other(draft: Draft, key: str, name: str, value: Json) -> None:
    if name == "torch_dtype":
        put_dtype(draft, key, value)
    elif name == "training_args":
        read_training_arguments(draft, key, mapping_at(draft, key, value))
    elif name in ("train_data_config", "eval_data_config"):
        return
    elif name in _NOTED:
        draft.note(key, _NOTED[name])
    elif name == "user_script":
        draft.refuse(key, "slmcheck runs no code named in a config; remove it")
    elif read_training_argument(draft, key, name, value):
        draft.note(key, "Olive 0.13 ignores it here (its place is training_args), the recipe follows it")
    else:
        draft.unknown(key, name, (*_PASS, *KNOWN))


def _data(draft: Draft, key: str, settings: Mapping[str, Json], data: Mapping[str, dict[str, Json]]) -> None:
    used = []
    for name, read in (("train_data_config", read_training_data), ("eval_data_config", read_validation_data)):
        config = settings.get(name)
        if isinstance(config, dict):
            read(draft, f"{key}.{name}", config)
        elif isinstance(config, str):
            if config not in data:
                draft.unknown(f"{key}.{name}", config, list(data))
                continue
            used.append(config)
            read(draft, f"data_configs.{config}", data[config])
    if "train_data_config" not in settings and data:
        rest = [name for name in data if name not in used]
        if len(rest) == 1:
            read_training_data(draft, f"data_configs.{rest[0]}", data[rest[0]])
            used += rest
        else:
            draft.refuse(f"{key}.train_data_config", f"missing; say which one is for training: {', '.join(rest)}")
            return
    for name in data:
        if name not in used:
            draft.note(f"data_configs.{name}", "left out: the training does not use it")
