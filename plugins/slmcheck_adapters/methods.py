"""The methods of peft that are offered: each was seen to start, train, reload and merge as it should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from slmcheck.records import Json

BOTTLENECK = "bottleneck"


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of peft."""

    name: str
    config: str
    """Its configuration class."""
    module: str
    """Where that class is, below `peft`."""
    fixed: Mapping[str, Json] = field(default_factory=dict)
    """What makes it this method; a recipe cannot say otherwise."""
    defaults: Mapping[str, Json] = field(default_factory=dict)
    """Where we start from something else than peft does."""
    is_prompt: bool = False
    """Whether it puts virtual tokens before each text: then it starts elsewhere than at the base model, its batches are
    padded, it cannot be merged and has no ONNX export."""


_ALL = {"target_modules": "all-linear"}
_RANK: Mapping[str, Json] = {**_ALL, "r": 16, "lora_alpha": 32}


def _offered() -> tuple[Method, ...]:
    return (
        Method(name="dora", config="LoraConfig", module="tuners.lora.config", fixed={"use_dora": True}, defaults=_RANK),
        Method(
            name="rslora", config="LoraConfig", module="tuners.lora.config", fixed={"use_rslora": True}, defaults=_RANK
        ),
        Method(
            name="pissa",
            config="LoraConfig",
            module="tuners.lora.config",
            fixed={"init_lora_weights": "pissa"},
            defaults=_RANK,
        ),
        Method(
            name="olora",
            config="LoraConfig",
            module="tuners.lora.config",
            fixed={"init_lora_weights": "olora"},
            defaults=_RANK,
        ),
        Method(name="ia3", config="IA3Config", module="tuners.ia3.config"),
        Method(name="vera", config="VeraConfig", module="tuners.vera.config", defaults=_ALL),
        Method(name="oft", config="OFTConfig", module="tuners.oft.config", defaults=_ALL),
        Method(name="boft", config="BOFTConfig", module="tuners.boft.config", defaults=_ALL),
        Method(name="loha", config="LoHaConfig", module="tuners.loha.config", defaults=_ALL),
        Method(name="lokr", config="LoKrConfig", module="tuners.lokr.config", defaults=_ALL),
        Method(name="miss", config="MissConfig", module="tuners.miss.config", defaults={**_ALL, "r": 16}),
        Method(
            name="prompt",
            config="PromptTuningConfig",
            module="tuners.prompt_tuning.config",
            defaults={"num_virtual_tokens": 16},
            is_prompt=True,
        ),
        Method(
            name="prefix",
            config="PrefixTuningConfig",
            module="tuners.prefix_tuning.config",
            defaults={"num_virtual_tokens": 16},
            is_prompt=True,
        ),
    )


METHODS: Mapping[str, Method] = {method.name: method for method in _offered()}

ELSEWHERE = {
    "lora": "use trainer: lora",
    "qlora": "use trainer: qlora",
    "adalora": "peft's own layers fail while they train (no attribute 'trainable_adapter_name'); use lora, dora or oft",
    "p_tuning": "use prompt",
    "prompt_tuning": "use prompt",
    "prefix_tuning": "use prefix",
    "houlsby": "use bottleneck with bottleneck: {placement: houlsby}",
    "pfeiffer": "use bottleneck with bottleneck: {placement: pfeiffer}",
    "bone": "its successor is miss",
}
"""What others call a method, and why one is not here."""


def method_problems(name: str) -> list[str]:
    """What is wrong with the name of a method of peft, as sentences."""
    if name in METHODS:
        return []
    known = [BOTTLENECK, *METHODS]
    hint = ELSEWHERE.get(name.lower())
    if hint is None:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known))}"
    return [f"options.method is '{name}'; {hint}"]
