"""Every key that Olive has is mapped, noted or refused; one that nobody has is met with what was meant."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slmcheck_olive import OliveReader, read_command, read_config
from slmcheck_olive.config import KEYS
from slmcheck_olive.draft import Draft
from slmcheck_olive.templates import decoded
from slmcheck_olive.training_args import KNOWN, read_training_argument

from slmcheck.errors import RecipeError
from slmcheck.recipes.foreign import Bound
from slmcheck.records import Json

WHOLE = "olive finetune -m org/base -d org/rows --text_template '{q} {a}'"


def fields_of(options: str) -> dict[str, Json]:
    """The dotted fields that a command with these options gives."""
    draft = read_command(f"{WHOLE} {options}")
    assert draft.problems == []
    return draft.fields


def notes_of(options: str) -> list[str]:
    return [str(note) for note in read_command(f"{WHOLE} {options}").notes]


def problems_of(config: Mapping[str, Any]) -> list[str]:
    return read_config(config).problems


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ("--train_subset english", "data.train", "org/rows#english"),
        ("--train_split train[:10]", "data.train", "org/rows:train[:10]"),
        ("--eval_split test", "data.validation", ["org/rows:test"]),
        ("--train_subset en --eval_split test", "data.validation", ["org/rows#en:test"]),
        ("--data_files a.json", "data.train", "a.json"),
        ("--data_files a.json,b.json", "data.train", ["a.json", "b.json"]),
        ("--max_samples 64", "data.train", "org/rows:train[:64]"),
        ("--data_files a.json --max_samples 64", "data.train", "a.json[:64]"),
        ("--task text-generation", "task", "generation"),
        ("-t classification", "task", "classification"),
        ("--method qlora", "trainer", "qlora"),
        ("--lora_r 8", "options.r", 8),
        ("--lora_alpha 32", "options.lora_alpha", 32),
        ("--lora_dropout 0.1", "options.lora_dropout", 0.1),
        ("--target_modules q_proj,v_proj", "options.target_modules", ["q_proj", "v_proj"]),
        ("--target_modules all-linear", "options.target_modules", "all-linear"),
        ("--torch_dtype bfloat16", "bf16", True),
        ("--torch_dtype float16", "fp16", True),
        ("--torch_dtype float32", "bf16", False),
        ("--max_seq_len 128", "data.max_length", 128),
        ("--use_chat_template", "data.messages", "messages"),
        ("--trust_remote_code", "trust_remote_code", True),
        ("--learning_rate 1e-6", "learning_rate", 1e-6),
        ("--learning_rate=1e-3", "learning_rate", 1e-3),
        ("--label_smoothing_factor 0.1", "label_smoothing", 0.1),
        ("--gradient_checkpointing false", "gradient_checkpointing", False),
        ("--gradient_checkpointing", "gradient_checkpointing", True),
        ("--optim adamw_hf", "optim", "adamw_torch"),
        ("--lr_scheduler_type cosine", "lr_scheduler_type", "cosine"),
        ("--warmup_ratio 0.1", "warmup_ratio", 0.1),
        ("--report_to tensorboard wandb", "report_to", "tensorboard,wandb"),
    ],
)
def test_an_option_becomes_a_field(options: str, field: str, value: Json) -> None:
    found = fields_of(options)[field]
    assert found == (value if field != "report_to" else "tensorboard")


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ("--eval_subset en", "--eval_subset: left out: Olive ignores it and takes --train_subset"),
        (
            "--add_special_tokens false",
            "--add_special_tokens: left out: any value switches it on in Olive, false too; ",
        ),
        (
            "--max_samples 64",
            "--max_samples: Olive counts blocks of max_seq_len tokens, the recipe takes the first 64 rows",
        ),
        ("--batch_size 4", "--batch_size: left out: Olive uses it nowhere in training; "),
        ("--input_cols q a", "--input_cols: left out: the template names the columns"),
        ("--test", "--test: left out: "),
        ("--account_name x --container_name y", "--account_name: left out: runs are kept in the store"),
        ("--log_level 3", "--log_level: left out: "),
        ("--save_config_file", "--save_config_file: left out: the recipe is the file"),
        ("--dry_run", "--dry_run: left out: slmcheck data check RECIPE looks before training"),
        ("--disable_telemetry", "--disable_telemetry: left out: slmcheck sends nothing"),
        ("-o out", "--output_path: left out: runs are kept in the store"),
        ("--lr_scheduler_type=cosine", "--lr_scheduler_type: written with an equals sign, which Olive drops; "),
        ("--method qlora --target_modules q", "--target_modules: Olive's command drops it with qlora, "),
        ("--warmup_ratio 0.1", "--warmup_ratio: Olive 0.13 drops it, the recipe follows it"),
        ("--report_to wandb", "--report_to: wandb left out: "),
        ("--text_field x", "--text_field: left out: the template names the columns"),
        ("--lora_dropout 0.1", "--lora_dropout: no option of Olive's command (fixed at 0.05 there), "),
    ],
)
def test_an_option_without_a_field_is_noted(options: str, note: str) -> None:
    assert [told for told in notes_of(options) if told.startswith(note)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--lora_rank 8", "--lora_rank: unknown key '--lora_rank'; did you mean '--lora_r'?"),
        ("--learning_rte 1", "--learning_rte: unknown key '--learning_rte'; did you mean '--learning_rate'?"),
        ("--method full", "--method: Olive has no 'full'; in a recipe write trainer: full."),
        ("--method qlra", "--method: unknown key 'qlra'; did you mean 'qlora'?"),
        ("--task fill-mask", "--task: unknown key 'fill-mask'."),
        ("--torch_dtype bf16", "--torch_dtype: unknown key 'bf16'; did you mean 'bfloat16'?"),
        ("--deepspeed ds.json", "--deepspeed: several devices are not described by a file of another library; "),
        ("--push_to_hub true", "--push_to_hub: a recipe uploads nothing; "),
        ("--model_script m.py", "--model_script: slmcheck runs no code named in a command; "),
        ("--adam_beta1 0.5", "--adam_beta1: 0.5 changes the result and has no field in a recipe; remove it (0.9)"),
        ("--neftune_noise_alpha 5", "--neftune_noise_alpha: changes the result and has no field in a recipe; "),
        ("--max_samples none", "--max_samples: 'none' is no number of rows."),
        ("stray", "stray: no option; options begin with --."),
    ],
)
def test_an_option_without_a_place_is_refused(options: str, told: str) -> None:
    # A stray word after a template would be taken into it, so it stands after an option without a value.
    problems = read_command(f"{WHOLE} --trust_remote_code {options}").problems
    assert [problem for problem in problems if problem.startswith(told)], problems


def test_all_problems_of_a_command_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as raised:
        OliveReader().read([f"{WHOLE} --lora_rank 8 --fsdp full_shard"], tmp_path)
    assert str(raised.value).splitlines() == [
        "olive finetune has 2 problems.",
        "olive finetune: --lora_rank: unknown key '--lora_rank'; did you mean '--lora_r'?",
        "olive finetune: --fsdp: several devices are not described by a file of another library; remove it.",
    ]


def test_a_data_set_that_is_a_file_is_read_as_one() -> None:
    draft = read_command("olive finetune -m org/base -d rows.json --text_template '{q} {a}'")
    assert draft.fields["data.train"] == "rows.json"
    assert "--data_name: rows.json is read as a file, where Olive ends without a model" in map(str, draft.notes)


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
def test_every_training_argument_of_transformers_has_a_place() -> None:
    spec = find_spec("transformers")
    assert spec is not None
    assert spec.origin is not None
    source = (Path(spec.origin).parent / "training_args.py").read_text(encoding="utf-8")
    (kind,) = [
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments"
    ]
    names = {
        item.target.id for item in kind.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
    assert len(names) > 80
    assert names - set(KNOWN) == set()


@pytest.mark.parametrize("name", sorted(set(KNOWN) - {"extra_args"}))
def test_a_training_argument_leaves_a_trace(name: str) -> None:
    draft = Draft()
    assert read_training_argument(draft, name, name, "5e-1")
    assert draft.fields or draft.notes or draft.problems


def config(**changes: Any) -> dict[str, Any]:
    """A whole run config of release 0.13 with changes at its top."""
    whole: dict[str, Any] = {
        "input_model": {"type": "HfModel", "model_path": "org/base"},
        "data_configs": [
            {
                "name": "rows",
                "type": "HuggingfaceContainer",
                "load_dataset_config": {"data_name": "org/rows", "split": "train"},
                "pre_process_data_config": {"text_template": "{q} {a}"},
            }
        ],
        "passes": {"f": {"type": "LoRA", "train_data_config": "rows"}},
    }
    return {**whole, **changes}


def with_pass(**settings: Any) -> dict[str, Any]:
    return config(passes={"f": {"type": "LoRA", "train_data_config": "rows", **settings}})


def with_rendering(**settings: Any) -> dict[str, Any]:
    whole = config()
    whole["data_configs"][0]["pre_process_data_config"] = settings
    return whole


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        (config(), "base_model", "org/base"),
        (config(input_model={"model_path": "https://huggingface.co/org/base/tree/main"}), "base_model", "org/base"),
        (config(input_model={"model_path": "b", "load_kwargs": {"revision": "c0"}}), "base_model", "b@c0"),
        (
            config(input_model={"model_path": "b", "load_kwargs": {"trust_remote_code": True}}),
            "trust_remote_code",
            True,
        ),
        (config(input_model={"model_path": "b", "task": "summarization"}), "task", "generation"),
        (with_pass(r=8), "options.r", 8),
        (with_pass(alpha=32), "options.lora_alpha", 32),
        (with_pass(lora_alpha=32), "options.lora_alpha", 32),
        (with_pass(config={"r": 8}), "options.r", 8),
        (with_pass(target_modules=["q"]), "options.target_modules", ["q"]),
        (with_pass(torch_dtype="float16"), "fp16", True),
        (with_pass(training_args={"learning_rate": "1e-6"}), "learning_rate", 1e-6),
        (with_pass(training_args={"extra_args": {"weight_decay": 0.1}}), "weight_decay", 0.1),
        (with_pass(type="QLoRA"), "trainer", "qlora"),
        (with_pass(type="QLoRA", double_quant=True), "options.bnb_4bit_use_double_quant", True),
        (with_pass(type="QLoRA", quant_type="fp4"), "options.bnb_4bit_quant_type", "fp4"),
        (with_pass(type="DoRA"), "options.method", "dora"),
        (with_pass(type="DoRA", alpha=8), "options.peft.lora_alpha", 8),
        (with_pass(type="LoHa", alpha=8), "options.peft.alpha", 8),
        (with_pass(type="LoKr", decompose_factor=4), "options.peft.decompose_factor", 4),
        (with_pass(r={"type": "categorical", "support": [8, 16]}), "search.space.options.r", {"choices": [8, 16]}),
        (with_rendering(text_cols="story"), "data.text_template", "{story}"),
        (with_rendering(text_cols=["q", "a"]), "data.text_template", "{q}\n{a}"),
        (with_rendering(chat_template=True, message_col="turns"), "data.messages", "turns"),
        (with_rendering(text_template="{q} {a}", max_seq_len=64), "data.max_length", 64),
        (with_rendering(text_template="{q} {a}", max_samples=64), "data.train", "org/rows:train[:64]"),
        (config(engine={"search_strategy": {"sampler": "tpe", "max_samples": 3, "seed": 1}}), "search.num_trials", 3),
        (config(search_strategy={"execution_order": "joint", "sampler": "random"}), "search.sampler", "random"),
    ],
)
def test_a_key_of_a_run_config_becomes_a_field(given: Mapping[str, Any], field: str, value: Json) -> None:
    draft = read_config(given)
    assert draft.problems == []
    assert draft.fields[field] == value


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (config(input_model={"type": "OnnxModel", "model_path": "m"}), "input_model.type: 'OnnxModel' cannot be train"),
        (config(input_model={"type": "DiffusersModel", "model_path": "m"}), "input_model.type: 'DiffusersModel' can"),
        (config(input_model={"model_path": "m", "model_script": "m.py"}), "input_model.model_script: slmcheck runs no"),
        (config(input_model={"model_path": "m", "adapter_path": "a"}), "input_model.adapter_path: training starts fr"),
        (config(input_model={"model_path": "azureml://x"}), "input_model.model_path: 'azureml://x' is a model of Az"),
        (config(azureml_client={}), "azureml_client: Azure ML is not supported; "),
        (config(passes={"convert": {"type": "OnnxConversion"}}), "passes.convert.type: Olive pass 'OnnxConversion' h"),
        (with_pass(type="LoftQ"), "passes.f.type: Olive pass 'LoftQ' has no place in a recipe; a quantised start"),
        (config(passes={"a": {"type": "LoRA"}, "b": {"type": "QLoRA"}}), "passes.b.type: a second pass that trains, "),
        (with_pass(type="QLoRA", modules_to_save=["x"]), "passes.f.modules_to_save: trainer qlora trains no further"),
        (with_pass(training_args={"deepspeed": True}), "passes.f.training_args.deepspeed: several devices are not"),
        (with_pass(training_args={"fsdp": "full_shard"}), "passes.f.training_args.fsdp: several devices are not"),
        (with_pass(training_args={"lerning_rate": 1}), "passes.f.training_args.lerning_rate: unknown key 'lerning_rat"),
        (with_pass(lora_rank=8), "passes.f.lora_rank: unknown key 'lora_rank'; did you mean 'lora_r'?"),
        (with_pass(train_data_config="row"), "passes.f.train_data_config: unknown key 'row'; did you mean 'rows'?"),
        (with_rendering(text_formatting_func="f"), "data_configs.rows.pre_process_data_config.text_formatting_func: s"),
        (with_rendering(user_script="f.py"), "data_configs.rows.pre_process_data_config.user_script: slmcheck runs no"),
        (with_rendering(text_templat="x"), "data_configs.rows.pre_process_data_config.text_templat: unknown key 'text"),
        (config(systems={"s": {"type": "Docker"}}), "systems.s.type: 'Docker' is not supported; "),
        (config(systems={"s": {"type": "AzureML"}}), "systems.s.type: 'AzureML' is not supported; "),
        (config(systems={"s": {"type": "PythonEnvironment"}}), "systems.s.type: another interpreter is no part of a"),
        (config(packaging_config={}), "packaging_config: a recipe packs nothing; "),
        (config(pases={}), "pases: unknown key 'pases'; did you mean 'passes'?"),
        (config(engine={"tarjet": 1}), "engine.tarjet: unknown key 'tarjet'; did you mean 'target'?"),
        (config(search_strategy={"sampler": "sequential"}), "search_strategy.sampler: 'sequential' is no sampler of a"),
        (
            config(search_space={"lora_rr": [1, 2]}),
            "search_space.lora_rr: unknown key 'lora_rr'; did you mean 'lora_r'",
        ),
    ],
)
def test_a_key_without_a_place_is_refused(given: Mapping[str, Any], told: str) -> None:
    problems = problems_of(given)
    assert [problem for problem in problems if problem.startswith(told)], problems


def test_the_columns_of_a_data_set_are_not_filtered() -> None:
    given = config()
    given["data_configs"][0]["load_dataset_config"]["col_filters"] = {"lang": "en"}
    assert problems_of(given) == [
        "data_configs.rows.load_dataset_config.col_filters: "
        "a recipe takes all rows of a source; write the rows wanted to a file."
    ]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "workflow_id",
            "systems",
            "host",
            "target",
            "evaluate_input_model",
            "output_dir",
            "cache_config",
            "cache_dir",
        ),
        *("clean_cache", "clean_evaluation_cache", "enable_shared_cache", "log_severity_level"),
        *("ort_log_severity_level", "ort_py_log_severity_level", "log_to_file", "plot_pareto_frontier", "no_artifacts"),
    ],
)
def test_a_key_of_the_workflow_is_noted(name: str) -> None:
    value = {"s": {"type": "LocalSystem"}} if name == "systems" else "s"
    draft = read_config(config(**{name: value}))
    assert draft.problems == []
    assert [note for note in draft.notes if note.key.startswith(name)]
    assert draft.fields == read_config(config()).fields


@pytest.mark.parametrize(
    "name",
    [
        *("strategy", "joiner", "stride", "padding_side", "pad_to_max_len", "drop_short_sequences"),
        *("use_attention_mask", "random_seed", "add_special_tokens"),
    ],
)
def test_how_olive_makes_blocks_is_noted(name: str) -> None:
    draft = read_config(with_rendering(text_template="{q} {a}", **{name: "x"}))
    assert draft.problems == []
    assert [note for note in draft.notes if note.key == f"data_configs.rows.pre_process_data_config.{name}"]


@pytest.mark.parametrize("name", ["device_map", "allow_tf32", "ephemeral_gpu_offload", "save_quant_config"])
def test_what_a_pass_says_of_the_device_is_noted(name: str) -> None:
    draft = read_config(with_pass(**{name: True}))
    assert [note.key for note in draft.notes if note.key == f"passes.f.{name}"]


def evaluators(name: str, goal: Mapping[str, Json] | None, kind: str = "accuracy") -> dict[str, Any]:
    metric = {"name": "m", "type": kind, "sub_types": [{"name": name, "priority": 1, "goal": goal}]}
    return config(evaluators={"common": {"metrics": [metric]}}, evaluator="common")


GOAL = "evaluators.common.metrics[0].sub_types[0].goal"


@pytest.mark.parametrize(
    ("name", "goal", "bound"),
    [
        ("accuracy_score", ("threshold", 0.8), Bound(metric="accuracy", form="at_least", value=0.8, key=GOAL)),
        ("perplexity", ("threshold", 9), Bound(metric="perplexity", form="at_most", value=9.0, key=GOAL)),
        (
            "f1_score",
            ("max-degradation", 0.02),
            Bound(metric="f1", form="no_worse_than_baseline", value=0.02, key=GOAL),
        ),
        ("accuracy", ("min-improvement", 0.1), Bound(metric="accuracy", form="better_than_base", value=0.1, key=GOAL)),
    ],
)
def test_a_goal_becomes_a_condition(name: str, goal: tuple[str, float], bound: Bound) -> None:
    draft = read_config(evaluators(name, {"type": goal[0], "value": goal[1]}))
    assert draft.problems == []
    assert draft.bounds == [bound]


def test_a_metric_without_a_goal_is_noted() -> None:
    draft = read_config(evaluators("accuracy_score", None))
    assert draft.bounds == []
    assert f"{GOAL}: no goal, so nothing is asserted of accuracy" in map(str, draft.notes)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (evaluators("auroc", None), "'auroc' is no metric of ours by that name; write the metric as a function."),
        (evaluators("wer", None), "'wer' is no metric of ours by that name; write the metric as a function."),
        (
            evaluators("x", None, "custom"),
            "'custom' names code of its own; write the metric as a function in the suite.",
        ),
        (evaluators("avg", None, "latency"), "speed is no score; remove it"),
        (evaluators("bytes", None, "size_on_disk"), "size is no score; remove it"),
        (evaluators("accuracy", {"type": "percent-max-degradation", "value": 1}), "is a share of a score that is not"),
        (evaluators("accuracy", {"type": "treshold", "value": 1}), "did you mean 'threshold'?"),
        (evaluators("perplexity", {"type": "max-degradation", "value": 1}), "perplexity changes by shares, not by"),
        (evaluators("accuracy", {"type": "threshold", "value": "much"}), "'much' is no number."),
    ],
)
def test_a_goal_without_a_meaning_is_refused(given: Mapping[str, Any], told: str) -> None:
    (problem,) = problems_of(given)
    assert told in problem


@pytest.mark.parametrize(
    ("template", "answer", "task"),
    [
        ("{q}\n{a}", "a", None),
        ("{q}\n{a}<|eot_id|>\n", "a", None),
        ("[INST] {q} [/INST] {a} </s>", "a", None),
        ("{{json}} {q}: {a}", "a", None),
        ("{text}", None, "language_modeling"),
        ("{q} {a} and so on", None, "language_modeling"),
        ("{a} {q} {a}", None, "language_modeling"),
    ],
)
def test_the_answer_is_the_last_placeholder_if_nothing_follows(
    template: str, answer: str | None, task: str | None
) -> None:
    draft = read_command(f"olive finetune -m b -d o/d --text_template '{template}'")
    assert draft.problems == []
    assert (draft.fields.get("data.answer"), draft.fields.get("task")) == (answer, task)


def test_a_single_brace_is_refused() -> None:
    (problem,) = read_command("olive finetune -m b -d o/d --text_template '{q} } {a}'").problems
    assert problem.startswith("--text_template: The template has '}' at character 5")


@given(st.text(alphabet=st.characters(exclude_characters="\\", exclude_categories=("Cs",))))
def test_a_template_without_backslashes_stays_as_it_is(text: str) -> None:
    assert decoded(text) == text


def test_escapes_of_a_command_are_resolved_and_marathi_survives() -> None:
    assert decoded(r"प्रश्न:\t{q}\nउत्तर: \u0915 \x41") == "प्रश्न:\t{q}\nउत्तर: क \\x41"


def test_every_key_of_the_top_is_known_to_the_reader() -> None:
    for name in KEYS:
        assert not any("unknown key" in problem for problem in problems_of({name: None})), name


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "type", "x"]), inner),
        max_leaves=8,
    )
)
def test_whatever_a_file_holds_a_reading_ends_with_fields_or_problems(value: Json) -> None:
    for name in ("passes", "data_configs", "input_model", "search_space", "evaluators", "engine"):
        draft = read_config(json.loads(json.dumps({name: value})))
        assert isinstance(draft.problems, list)
