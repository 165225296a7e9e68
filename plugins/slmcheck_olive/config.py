"""An Olive run config (the mapping of a JSON or YAML file) -> what a recipe says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from slmcheck.records import Json
from slmcheck_olive.draft import Draft, as_switch, mapping_at
from slmcheck_olive.evaluators import read_evaluators
from slmcheck_olive.passes import read_passes
from slmcheck_olive.searching import read_space, read_strategy
from slmcheck_olive.training_args import read_training_arguments

_CACHE = "left out: runs are kept in the store"
_LOG = "left out: how much is logged changes no number"
ENGINE: Final[Mapping[str, str]] = {
    "evaluate_input_model": "left out: run.base is the base model, evaluated where a suite asks for it",
    "output_dir": "left out: runs are kept in the store",
    "cache_config": _CACHE,
    "cache_dir": _CACHE,
    "clean_cache": _CACHE,
    "clean_evaluation_cache": _CACHE,
    "enable_shared_cache": _CACHE,
    "log_severity_level": _LOG,
    "ort_log_severity_level": _LOG,
    "ort_py_log_severity_level": _LOG,
    "log_to_file": _LOG,
    "plot_pareto_frontier": "left out: the report has a chart of the trials",
    "no_artifacts": "left out: runs are kept in the store",
    "host": "left out: training runs on this machine",
    "target": "left out: where a model is deployed is asked by slmcheck parity and slmcheck export",
}
_TOP = ("workflow_id", "input_model", "model", "systems", "data_configs", "evaluators", "passes", "engine")
_SEARCH = ("search_strategy", "search_space", "evaluator", "packaging_config", "training_config")
KEYS: Final = (*_TOP, *_SEARCH, *ENGINE, "azureml_client", "data_root", "auto_optimizer_options")
RECOGNISED: Final = frozenset({"input_model", "passes", "data_configs", "search_strategy", "search_space", "engine"})
TASKS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("text-generation", "text-generation-with-past", "causal-lm", "generation"), "generation"),
    **dict.fromkeys(("summarization", "translation", "text2text-generation"), "generation"),
    **dict.fromkeys(("classification", "text-classification"), "classification"),
    **dict.fromkeys(("extraction", "token-classification", "ner"), "extraction"),
    "sequence_classification": "sequence_classification",
    "language_modeling": "language_modeling",
}
_MODEL = ("type", "config", "model_path", "task", "load_kwargs", "adapter_path", "model_attributes", "io_config")
_LOADING: Final[Mapping[str, str]] = {
    "torch_dtype": "left out: the precision of the training is that of bf16 and fp16",
    "dtype": "left out: the precision of the training is that of bf16 and fp16",
    "device_map": "left out: the device is that of the machine",
    "attn_implementation": "left out: attention is that of packed rows",
    "low_cpu_mem_usage": "left out: no effect on the numbers",
    "cache_dir": "left out: hub models are found in the cache of the hub",
    "use_safetensors": "left out: only safetensors are read",
    "max_memory": "left out: no effect on the numbers",
    "offload_folder": "left out: no effect on the numbers",
}


def read_config(config: Mapping[str, Json]) -> Draft:
    """What a run config says, in its own order of importance: model, data and passes, search, evaluators."""
    draft = Draft()
    top = dict(config)
    engine = mapping_at(draft, "engine", top.pop("engine", None))
    places = {**dict.fromkeys(top, ""), **dict.fromkeys(engine, "engine.")}
    given = {**top, **engine}
    for name in given:
        _known(draft, f"{places[name]}{name}", name, given[name])
    _model(draft, given)
    data = _data_configs(draft, given.get("data_configs"))
    if "passes" in given:
        read_passes(draft, "passes", given["passes"], data)
    elif data:
        draft.refuse("data_configs", "data without a pass that trains; name one: passes: {lora: {type: LoRA}}")
    if "training_config" in given:
        read_training_arguments(
            draft, "training_config", mapping_at(draft, "training_config", given["training_config"])
        )
        draft.note("training_config", "no key of Olive 0.13, which fails there; the recipe follows it")
    if "search_strategy" in given:
        read_strategy(draft, f"{places['search_strategy']}search_strategy", given["search_strategy"])
    if "search_space" in given:
        read_space(draft, "search_space", given["search_space"])
    if "evaluators" in given:
        read_evaluators(draft, "evaluators", given["evaluators"], given.get("evaluator"))
    elif isinstance(given.get("evaluator"), dict):
        read_evaluators(draft, "engine", {"evaluator": given["evaluator"]}, None)
    return draft


def put_task(draft: Draft, key: str, value: Json) -> None:
    """Olive's task as ours."""
    text = str(value)
    if text not in TASKS:
        draft.unknown(key, text, list(TASKS))
        return
    draft.put("task", TASKS[text])
    if text in ("text-classification", "token-classification", "ner"):
        draft.note(key, f"'{text}' is {TASKS[text]} by words that the language model answers with")


def _known(draft: Draft, key: str, name: str, value: Json) -> None:
    if name in ENGINE:
        draft.note(key, ENGINE[name])
        if name in ("host", "target") and isinstance(value, dict):
            _system(draft, key, value)
    elif name == "systems":
        for system, item in mapping_at(draft, key, value).items():
            _system(draft, f"{key}.{system}", mapping_at(draft, f"{key}.{system}", item))
    elif name == "workflow_id":
        draft.note(key, "left out: the run has the name of the recipe")
    elif name == "packaging_config":
        draft.refuse(key, "a recipe packs nothing; remove it: slmcheck export RUN DIR writes the folder to deploy")
    elif name == "azureml_client":
        draft.refuse(key, "Azure ML is not supported; remove it, and train where slmcheck runs")
    elif name in ("data_root", "auto_optimizer_options"):
        draft.refuse(key, "no place in a recipe; remove it")
    elif name not in KEYS:
        draft.unknown(key, name, KEYS)


def _system(draft: Draft, key: str, system: Mapping[str, Json]) -> None:
    kind = str(system.get("type", "LocalSystem"))
    if kind == "PythonEnvironment":
        draft.refuse(f"{key}.type", "another interpreter is no part of a recipe; train with the one that has slmcheck")
    elif kind != "LocalSystem":
        draft.refuse(f"{key}.type", f"'{kind}' is not supported; train where slmcheck runs")
    else:
        draft.note(key, "left out: training runs on this machine")


def _model(draft: Draft, given: Mapping[str, Json]) -> None:
    key = "input_model" if "input_model" in given else "model"
    if key not in given:
        return
    outer = mapping_at(draft, key, given[key])
    model = {**{name: item for name, item in outer.items() if name != "config"}}
    model.update(mapping_at(draft, f"{key}.config", outer.get("config")))
    kind = str(model.get("type", "HfModel"))
    if kind not in ("HfModel", "PyTorchModel"):
        draft.refuse(f"{key}.type", f"'{kind}' cannot be trained on; name a model in the form of transformers")
    for name, value in model.items():
        place = f"{key}.{name}"
        if name == "model_path":
            put_base_model(draft, place, value)
        elif name == "task":
            put_task(draft, place, value)
        elif name == "load_kwargs":
            _loading(draft, place, mapping_at(draft, place, value))
        elif name == "adapter_path":
            draft.refuse(place, "training starts from a base model; merge the adapter into it first")
        elif name in ("model_script", "script_dir", "model_loader", "io_config", "dummy_inputs_func"):
            draft.refuse(place, "slmcheck runs no code named in a config; name a model in the form of transformers")
        elif name in ("model_attributes", "generative", "test_model_path"):
            draft.note(place, "left out: no effect on the training")
        elif name not in ("type", "config"):
            draft.unknown(place, name, _MODEL)
    if "model_path" not in model:
        draft.refuse(key, "model_path is missing")


def put_base_model(draft: Draft, key: str, value: Json) -> None:
    """A hub id, a folder, or an address of the hub."""
    if isinstance(value, dict):
        value = mapping_at(draft, f"{key}.config", value.get("config")).get("repo_id") or value.get("path")
    text = str(value or "")
    if text.startswith("azureml:"):
        draft.refuse(key, f"'{text}' is a model of Azure ML, which is not supported; name a hub id or a folder")
        return
    hub = "https://huggingface.co/"
    draft.put("base_model", "/".join(text.removeprefix(hub).split("/")[:2]) if text.startswith(hub) else text)


def _loading(draft: Draft, key: str, given: Mapping[str, Json]) -> None:
    for name, value in given.items():
        place = f"{key}.{name}"
        if name == "trust_remote_code":
            draft.put("trust_remote_code", as_switch(value))
        elif name == "revision":
            draft.put("base_model", f"{draft.fields.get('base_model', '')}@{value}")
        elif name in ("quantization_config", "quantization_method"):
            draft.refuse(place, "a base model that is quantised on loading is trainer qlora; use the pass QLoRA")
        elif name in _LOADING:
            draft.note(place, _LOADING[name])
        elif name == "extra_args":
            _loading(draft, place, mapping_at(draft, place, value))
        else:
            draft.unknown(place, name, (*_LOADING, "trust_remote_code", "revision", "extra_args"))


def _data_configs(draft: Draft, value: Json) -> dict[str, dict[str, Json]]:
    if isinstance(value, dict):
        value = [{"name": name, **mapping_at(draft, f"data_configs.{name}", item)} for name, item in value.items()]
    found: dict[str, dict[str, Json]] = {}
    for number, item in enumerate(value if isinstance(value, list) else []):
        config = mapping_at(draft, f"data_configs[{number}]", item)
        name = str(config.get("name", number))
        if name in found:
            draft.refuse(f"data_configs.{name}", "two data configs have this name")
        found[name] = config
    return found
