"""Olive's search, in the form of its tutorials and in that of release 0.13, -> the `search` block of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from slmcheck.records import Json
from slmcheck_olive.draft import Draft, as_number, as_switch, mapping_at
from slmcheck_olive.training_args import KNOWN, NUMBERS, RENAMED, SWITCHES, TEXTS

FIELDS: Final[Mapping[str, str]] = {
    "lora_r": "options.r",
    "r": "options.r",
    "lora_alpha": "options.lora_alpha",
    "alpha": "options.lora_alpha",
    "lora_dropout": "options.lora_dropout",
    "batch_size": "per_device_train_batch_size",
    "max_seq_len": "data.max_length",
    **{name: name for name in (*NUMBERS, *SWITCHES, *TEXTS) if name not in ("seed", "logging_steps", "eval_steps")},
    **RENAMED,
}
"""Olive's name of what is searched, and the field of ours."""
_STRATEGY = (
    *("type", "sampler", "num_trials", "max_samples", "seed", "execution_order", "output_model_num", "sampler_config"),
    *("stop_when_goals_met", "max_iter", "max_time", "include_pass_params"),
)
_NOTED: Final[Mapping[str, str]] = {
    "execution_order": "left out: a recipe has one training, and with it one order",
    "output_model_num": "left out: the best trial is the run, and all of them are in the store",
    "include_pass_params": "left out: what is searched is named",
    "stop_when_goals_met": "left out: a search ends after num_trials, or with --budget MINUTES",
    "max_time": "left out: say slmcheck train --budget MINUTES",
}
_RANGE = ("type", "low", "high", "log", "step", "values", "choices", "support", "olive_parameter_type")


def read_strategy(draft: Draft, key: str, value: Json) -> None:
    """`search_strategy`: how values are chosen, and how often."""
    if isinstance(value, bool) or value is None:
        draft.note(key, "left out: without values to try there is no search")
        return
    for name, item in mapping_at(draft, key, value).items():
        place = f"{key}.{name}"
        if name in ("type", "sampler"):
            if item in ("random", "tpe"):
                draft.put("search.sampler", item)
            elif item is not None:
                draft.refuse(place, f"'{item}' is no sampler of a recipe; write random or tpe")
        elif name in ("num_trials", "max_samples", "max_iter"):
            draft.put("search.num_trials", as_number(item))
        elif name == "seed":
            draft.put("search.seed", as_number(item))
        elif name == "sampler_config":
            read_strategy(draft, place, item)
        elif name in _NOTED:
            draft.note(place, _NOTED[name])
        else:
            draft.unknown(place, name, _STRATEGY)


def read_space(draft: Draft, key: str, value: Json) -> None:
    """`search_space`: the values of each name."""
    for name, item in mapping_at(draft, key, value).items():
        place = f"{key}.{name}"
        if name not in FIELDS:
            draft.unknown(place, name, (*FIELDS, *KNOWN))
        else:
            put_range(draft, place, FIELDS[name], item)


def is_range(value: Json) -> bool:
    """Whether a value of a pass is one to be searched: `{type: categorical, support: [8, 16]}`."""
    return isinstance(value, dict) and bool({"support", "values", "choices"} & set(value))


def put_range(draft: Draft, key: str, name: str, value: Json) -> None:
    """Set the values that are tried for a field of ours."""
    if isinstance(value, list):
        value = {"values": value}
    given, found = mapping_at(draft, key, value), dict[str, Json]()
    for word, item in given.items():
        if word in ("values", "choices", "support"):
            choices = [as_number(choice) for choice in item] if isinstance(item, list) else item
            found["choices"] = choices
        elif word == "type":
            kind = str(item).lower()
            if kind in ("float", "int"):
                found["type"] = kind
            elif kind not in ("choice", "categorical", "boolean"):
                draft.refuse(f"{key}.type", f"'{item}' is no kind of values; write float, int or choice")
        elif word in ("low", "high", "step"):
            found[word] = as_number(item)
        elif word == "log":
            found["log"] = as_switch(item)
        elif word not in _RANGE:
            draft.unknown(f"{key}.{word}", word, _RANGE)
    draft.put(f"search.space.{name}", found)
    if name != key.rpartition(".")[2]:
        draft.note(key, f"is {name} in a recipe")
