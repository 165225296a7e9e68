"""What Olive does where nothing is said, written into the recipe; and what differs between the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from slmcheck.recipes.foreign import Reading
from slmcheck.records import Json
from slmcheck_olive.data_configs import with_rows
from slmcheck_olive.draft import Draft, nested
from slmcheck_olive.templates import read_template

DEFAULTS: Final[Mapping[str, Json]] = {
    "trainer": "lora",
    "task": "generation",
    "data.loss_on": "all",
    "data.max_length": 1024,
    "data.evaluate_on": "validation",
    "learning_rate": 2e-4,
    "lr_scheduler_type": "constant",
    "per_device_train_batch_size": 8,
    "gradient_checkpointing": True,
    "seed": 42,
}
"""Of `olive finetune` and of the passes alike; Olive declares a warm-up of 0.03 and drops it."""
_LOSS = (
    "Olive's loss covers every token, prompt included, and so does loss_on: all; "
    "loss_on: answer learns the answer and its EOS only, which is the default of a recipe"
)
_BLOCKS = (
    "Olive joins rows and cuts blocks of max_seq_len tokens (256 of them by default in its command); "
    "the recipe learns all rows one by one, each with EOS at its end"
)
_SHARE = "Olive trains on all rows; a recipe sets 15 % of them aside for the validation loss (data.validation)"
_TEST = "scores are of the validation rows until test rows are named (data.test)"
_WARMUP = "none: Olive declares 0.03 and drops it"
_TARGETS = (
    "Olive takes peft's choice for the architecture; the recipe takes every linear layer but the head (all-linear)"
)


def completed(draft: Draft) -> Reading:
    """The reading of a draft: a whole recipe with Olive's defaults, a fragment as it stands."""
    if draft.is_fragment:
        return Reading(fields=nested(draft.fields), notes=tuple(draft.notes), bounds=tuple(draft.bounds))
    if "base_model" not in draft.fields:
        draft.refuse("model", "missing: --model_name_or_path, or input_model in a file")
    if "data.train" not in draft.fields:
        draft.refuse("data", "missing: --data_name or --data_files, or data_configs in a file")
    if not {"data.text_template", "data.messages"} & set(draft.fields):
        read_template(draft, "text_field", "{text}")
    if draft.fields.get("data.messages") is not None:
        draft.fields.pop("data.text_template", None)
        draft.fields.pop("data.answer", None)
        if draft.fields.get("task") == "language_modeling":
            draft.put("task", "generation")
    draft.note("loss", _LOSS)
    draft.note("rows", _BLOCKS)
    missing = [name for name in DEFAULTS if name not in draft.fields and not name.startswith("data.eval")]
    if missing:
        told = ", ".join(f"{name} {_shown(DEFAULTS[name])}" for name in missing)
        draft.note("defaults", f"not given, so those of Olive are written: {told}")
    for name, value in DEFAULTS.items():
        draft.fields.setdefault(name, value)
    _loop(draft)
    _options(draft)
    _splits(draft)
    return Reading(fields=nested(draft.fields), notes=tuple(draft.notes), bounds=tuple(draft.bounds))


def _shown(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _loop(draft: Draft) -> None:
    fields = draft.fields
    if "max_steps" not in fields:
        fields.setdefault("num_train_epochs", 3)
    fields.setdefault("optim", "paged_adamw_32bit" if fields["trainer"] == "qlora" else "adamw_torch")
    if not fields.get("fp16"):
        if "bf16" not in fields:
            draft.note(
                "torch_dtype", "Olive's default is bfloat16: bf16: true, which a GPU follows and a processor not"
            )
        fields.setdefault("bf16", True)
    for name in ("bf16", "fp16"):
        if fields.get(name) is False or (name == "bf16" and fields.get("fp16")):
            fields.pop(name, None)
    if "warmup_ratio" not in fields and "warmup_steps" not in fields:
        draft.note("warmup_ratio", _WARMUP)


def _options(draft: Draft) -> None:
    fields = draft.fields
    if fields["trainer"] in ("lora", "qlora"):
        defaults: dict[str, Json] = {"r": 64, "lora_alpha": 16, "lora_dropout": 0.05}
        prefix = "options"
        if fields["trainer"] == "qlora":
            defaults |= {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": False}
    elif fields.get("options.method") == "dora":
        prefix, defaults = "options.peft", {"r": 64, "lora_alpha": 16, "lora_dropout": 0.05}
    else:
        prefix, defaults = "options.peft", {"r": 64, "alpha": 16}
    if prefix == "options.peft":
        for name in [name for name in fields if name.startswith("options.") and name.count(".") == 1]:
            if name != "options.method":  # a search or a command of another source that speaks of LoRA
                fields[f"options.peft.{name.partition('.')[2]}"] = fields.pop(name)
    for name, value in defaults.items():
        fields.setdefault(f"{prefix}.{name}", value)
    if f"{prefix}.target_modules" not in fields:
        fields[f"{prefix}.target_modules"] = "all-linear"
        if fields.get("options.method") not in ("loha", "lokr"):
            draft.note("target_modules", _TARGETS)


def _splits(draft: Draft) -> None:
    fields = draft.fields
    if "data.validation" not in fields:
        draft.note("eval_split", _SHARE)
    train = fields.get("data.train")
    if not any(name.startswith("search.") for name in fields):
        draft.note("test", _TEST)
        return
    if isinstance(train, str) and not train.endswith("]"):
        fields.pop("data.evaluate_on", None)
        fields["data.train"], fields["data.test"] = with_rows(train, ":90%"), with_rows(train, "90%:")
        draft.note("search", "scores must be of rows that a search never saw: the last tenth is the test (data.test)")
